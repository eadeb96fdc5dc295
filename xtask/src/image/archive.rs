//! One layer, its configuration and its manifest, in an archive that Docker, Podman, containerd and skopeo read: an OCI
//! layout with Docker's own index beside it. The same input gives the same bytes.

use std::io;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The user, a number, so that the kubelet can see that it is not root.
const USER: &str = "65532:65532";

struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = hex(&Sha256::digest(&bytes));
        Self { digest, bytes }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn described(&self, kind: &str) -> Value {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{}", self.digest),
            "size": self.bytes.len(),
        })
    }
}

/// Bytes as digests are written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

/// The whole archive of an image of this name, with one program in it.
pub(super) fn pack(name: &str, program: &str, binary: &[u8]) -> io::Result<Vec<u8>> {
    let layer = Blob::new(layer(program, binary)?);
    let config = Blob::json(&configuration(program, &layer));
    let manifest = Blob::json(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.described("config.v1+json"),
        "layers": [layer.described("layer.v1.tar")],
    }));
    let mut listed = manifest.described("manifest.v1+json");
    listed["annotations"] = json!({
        "io.containerd.image.name": full(name),
        "org.opencontainers.image.ref.name": name.rsplit(':').next(),
    });
    let index = json!({ "schemaVersion": 2, "manifests": [listed] });
    let docker = json!([{ "Config": config.path(), "RepoTags": [name], "Layers": [layer.path()] }]);
    let mut archive = Archive::default();
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    archive.file("index.json", index.to_string().as_bytes(), 0o644)?;
    archive.file("manifest.json", docker.to_string().as_bytes(), 0o644)?;
    for blob in [&config, &layer, &manifest] {
        archive.file(&blob.path(), &blob.bytes, 0o644)?;
    }
    archive.0.into_inner()
}

/// The name with the registry that Docker means when none is given.
fn full(name: &str) -> String {
    let first = name.split('/').next().unwrap_or_default();
    let has_registry = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    match (has_registry, name.contains('/')) {
        (true, _) => name.to_owned(),
        (false, true) => format!("docker.io/{name}"),
        (false, false) => format!("docker.io/library/{name}"),
    }
}

fn layer(program: &str, binary: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.file(program, binary, 0o755)?;
    archive.folder("tmp/", 0o1777)?;
    archive.0.into_inner()
}

fn configuration(program: &str, layer: &Blob) -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": USER,
            "Entrypoint": [format!("/{program}")],
            "ExposedPorts": { "7946/tcp": {}, "8080/tcp": {} },
            "Labels": {
                "org.opencontainers.image.title": "Segue",
                "org.opencontainers.image.description": "A self-hosted Discord music bot that does not stop when its pods do",
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)] },
    })
}

/// A tar archive in which nothing tells when or by whom it was made.
struct Archive(tar::Builder<Vec<u8>>);

impl Default for Archive {
    fn default() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
}

impl Archive {
    fn file(&mut self, path: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        self.0.append_data(&mut header, path, bytes)
    }

    fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(mode);
        self.0.append_data(&mut header, path, io::empty())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn files(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            found.insert(path, (entry.header().mode().unwrap(), bytes));
        }
        found
    }

    fn json_at(files: &BTreeMap<String, (u32, Vec<u8>)>, path: &str) -> Value {
        serde_json::from_slice(&files[path].1).unwrap()
    }

    #[test]
    fn the_image_holds_the_binary_and_a_place_to_write_and_nothing_else() {
        let image = files(&pack("segue:1", "segue", b"program").unwrap());
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"]
                .as_str()
                .unwrap()
                .replace("sha256:", "blobs/sha256/");
            assert_eq!(image[&digest].1.len() as u64, descriptor["size"].as_u64().unwrap());
            digest
        };
        let index = json_at(&image, "index.json");
        let manifest = json_at(&image, &blob(&index["manifests"][0]));
        let config = json_at(&image, &blob(&manifest["config"]));
        let layer = files(&image[&blob(&manifest["layers"][0])].1);
        assert_eq!(layer.keys().collect::<Vec<_>>(), ["segue", "tmp/"]);
        assert_eq!(layer["segue"], (0o755, b"program".to_vec()));
        assert_eq!(layer["tmp/"].0, 0o1777);
        let user = config["config"]["User"].as_str().unwrap();
        assert!(user.starts_with(|first: char| ('1'..='9').contains(&first)), "{user}");
        assert_eq!(config["config"]["Entrypoint"], json!(["/segue"]));
        let docker = json_at(&image, "manifest.json");
        assert_eq!(docker[0]["RepoTags"], json!(["segue:1"]));
        assert!(image.contains_key(docker[0]["Layers"][0].as_str().unwrap()));
    }

    #[test]
    fn the_same_binary_gives_the_same_image() {
        assert_eq!(
            pack("segue:1", "segue", b"a").unwrap(),
            pack("segue:1", "segue", b"a").unwrap()
        );
        assert_ne!(
            pack("segue:1", "segue", b"a").unwrap(),
            pack("segue:1", "segue", b"b").unwrap()
        );
    }

    #[test]
    fn the_image_is_that_of_the_dockerfile() {
        let text = include_str!("../../../Dockerfile");
        let last = text.rsplit("FROM ").next().unwrap();
        let config = configuration("segue", &Blob::new(Vec::new()));
        assert!(last.starts_with("scratch\n"));
        assert!(last.contains(&format!("USER {USER}\n")));
        assert!(last.contains("ENTRYPOINT [\"/segue\"]\n"));
        assert!(last.contains("EXPOSE 8080 7946\n"));
        for (label, value) in config["config"]["Labels"].as_object().unwrap() {
            assert!(last.contains(&format!("{label}={value}")), "{label}");
        }
    }

    #[test]
    fn a_name_without_a_registry_is_dockers() {
        assert_eq!(full("segue:1"), "docker.io/library/segue:1");
        assert_eq!(full("me/segue:1"), "docker.io/me/segue:1");
        assert_eq!(full("localhost/segue:1"), "localhost/segue:1");
        assert_eq!(full("r.example:5000/segue:1"), "r.example:5000/segue:1");
    }
}
