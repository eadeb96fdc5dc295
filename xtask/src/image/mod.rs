//! `cargo xtask image`: the image of the `Dockerfile`, made without a Docker engine.

mod archive;
mod binary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) use archive::hex;

use crate::chart::root;
use crate::progress::Progress;

/// `cargo xtask image`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Build with the profile that tests use anyway, rather than `release`
    #[arg(long)]
    dev: bool,
    /// The image's name and tag
    #[arg(long, default_value_t = format!("segue:{}", env!("CARGO_PKG_VERSION")))]
    name: String,
    /// Where the archive goes; `target/image/segue.tar` unless given
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Builds the binary, looks whether it is what the image needs, and packs it.
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let progress = Progress::start();
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| root().join("target/image/segue.tar"));
    make(args.dev, &args.name, &output, progress)?;
    progress.say(&format!(
        "{} holds {}: docker load --input, podman load --input, ctr images import, or skopeo copy oci-archive:…",
        output.display(),
        args.name
    ));
    Ok(ExitCode::SUCCESS)
}

/// The same, for other tasks; returns where the binary is.
pub(crate) fn make(dev: bool, name: &str, output: &Path, progress: Progress) -> Result<PathBuf, String> {
    progress.say("building the binary: static, with the list of its crates inside");
    let program = binary::build(dev)?;
    let bytes = std::fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    if !binary::is_static(&bytes) {
        return Err(format!("{}: it wants a loader, so it is not static", program.display()));
    }
    let crates = binary::crates(&bytes)?;
    progress.say(&format!("{} MiB, {crates} crates listed inside", bytes.len() >> 20));
    write(name, "segue", &bytes, output)?;
    Ok(program)
}

/// Writes an image with one program in it.
pub(crate) fn write(name: &str, program: &str, binary: &[u8], output: &Path) -> Result<(), String> {
    let folder = output.parent().ok_or("the archive needs a folder")?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(output, archive::pack(name, program, binary)?))
        .map_err(|error| format!("{}: {error}", output.display()))
}
