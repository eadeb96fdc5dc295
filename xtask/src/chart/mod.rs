//! The chart: its page of values, its dashboards, the kustomize base made from it, and what its tests need.

pub(crate) mod dashboards;
pub(crate) mod documented;
pub(crate) mod manifests;
pub(crate) mod programs;
mod setup;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

pub(crate) use setup::install;

use crate::progress::say;

/// Writes the chart's page from its values.
pub(crate) fn docs() -> Result<ExitCode, String> {
    let page = documented::page(&read("charts/segue/values.yaml")?).map_err(|undocumented| {
        let keys = undocumented.join(", ");
        format!("charts/segue/values.yaml: no line `# -- …` above {keys}")
    })?;
    write("charts/segue/README.md", &page)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the dashboards from their source.
pub(crate) fn dashboards() -> Result<ExitCode, String> {
    for (file, json) in dashboards::all(&read(dashboards::SOURCE)?)? {
        write(&format!("charts/segue/files/dashboards/{file}.json"), &json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the manifests below `k8s/` from the chart.
pub(crate) fn manifests() -> Result<ExitCode, String> {
    let helm = programs::helm().ok_or("no Helm 4 on PATH; `cargo xtask test` fetches one")?;
    for part in manifests::PARTS {
        let rendered = render(&helm, part.values)?;
        for (path, text) in manifests::files(part, &rendered) {
            write(&path, &text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn render(helm: &Path, values: &[&str]) -> Result<String, String> {
    let ended = Command::new(helm)
        .args(manifests::arguments(values))
        .current_dir(root())
        .output()
        .map_err(|error| format!("helm does not start: {error}"))?;
    if ended.status.success() {
        return String::from_utf8(ended.stdout).map_err(|error| format!("helm: {error}"));
    }
    Err(format!("helm: {}", String::from_utf8_lossy(&ended.stderr).trim()))
}

/// The repository, wherever the task was started.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

fn write(path: &str, text: &str) -> Result<(), String> {
    let full = root().join(path);
    let same = std::fs::read_to_string(&full).is_ok_and(|there| there == text);
    if same {
        return Ok(());
    }
    let folder = full.parent().ok_or("no folder")?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&full, text))
        .map_err(|error| format!("{path}: {error}"))?;
    say(&format!("wrote {path}"));
    Ok(())
}
