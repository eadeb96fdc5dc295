//! Inside: mounts, the network, and the parts one after the other, until the node is ready.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::files::{API, CONTAINERD, NODE_IP, SERVICES};
use super::kubectl::Kubectl;
use super::lent::MOUNTED_ON;
use super::{certificates, files, groups};
use crate::image;
use crate::progress::Progress;

/// How long any part may take to come up; a build beside it doubles that.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where everything happens: a node of ours that is ready, or this machine beside somebody's cluster.
pub(super) struct Node {
    pub(super) folder: PathBuf,
    pub(super) kubectl: Kubectl,
    /// Where pods reach what runs beside them.
    pub(super) address: String,
    /// Whether its processes are ours to stop and kill.
    pub(super) own: bool,
    running: Mutex<Vec<Child>>,
}

/// What was started ends with it, in the order in which it was started.
impl Drop for Node {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        for child in running {
            drop(child.kill().and_then(|()| child.wait()));
        }
    }
}

impl Node {
    fn new(folder: &Path, kubectl: Kubectl, address: &str, own: bool) -> Self {
        Self {
            folder: folder.to_owned(),
            kubectl,
            address: address.to_owned(),
            own,
            running: Mutex::default(),
        }
    }

    /// This machine, reached by the pods of somebody's cluster at this address.
    pub(super) fn there(folder: &Path, kubectl: Kubectl, address: &str) -> Self {
        Self::new(folder, kubectl, address, false)
    }

    /// A program that runs beside the kubelet until the cluster ends. Its output goes into a log of its name.
    pub(super) fn start(&self, name: &str, arguments: &[&str]) -> Result<(), String> {
        self.start_program(name, &self.folder.join("bin").join(name), arguments)
    }

    fn start_program(&self, name: &str, program: &Path, arguments: &[&str]) -> Result<(), String> {
        let log = File::create(self.folder.join("log").join(name)).map_err(|error| format!("{name}: {error}"))?;
        let both = log.try_clone().map_err(|error| format!("{name}: {error}"))?;
        let child = Command::new(program)
            .args(arguments)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(both)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.push(child);
        Ok(())
    }
}

/// Brings everything up.
pub(super) fn up(folder: &Path, progress: Progress) -> Result<Node, String> {
    let group = groups::name(folder);
    for inner in [
        "pki",
        "log",
        "cfg/net.d",
        "etcd",
        "containerd",
        "cni",
        "kubelet",
        "pods",
        "containers",
    ] {
        std::fs::create_dir_all(folder.join(inner)).map_err(|error| format!("{inner}: {error}"))?;
    }
    certificates::write(&folder.join("pki"))?;
    files::write(folder, &group)?;
    mount(folder)?;
    groups::make(&group)?;
    connect()?;
    let kubectl = Kubectl::new(folder, Some(folder.join("cfg/admin.conf")));
    let node = Node::new(folder, kubectl, NODE_IP, true);
    control_plane(&node)?;
    machine(&node)?;
    node.kubectl
        .ok(&["wait", "--for=condition=Ready", "node/node", "--timeout=120s"])?;
    progress.say("the node is ready");
    Ok(node)
}

/// Runs one command to its end.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let ended = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&ended.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), words.trim()))
}

fn mount(folder: &Path) -> Result<(), String> {
    run("mount", &["--make-rshared", "/"])?;
    run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
    std::fs::create_dir_all("/run/lock").map_err(|error| format!("/run/lock: {error}"))?;
    for (onto, inner) in MOUNTED_ON.into_iter().zip(["kubelet", "cni", "pods", "containers"]) {
        std::fs::create_dir_all(onto).map_err(|error| format!("{onto}: {error}"))?;
        run("mount", &["--bind", &folder.join(inner).display().to_string(), onto])?;
    }
    run("mount", &["--make-rshared", MOUNTED_ON[0]])?;
    // Control groups are written through it.
    run("mount", &["-o", "remount,rw", "/sys"]).or(Ok(()))
}

/// Two bridges that lead nowhere: nothing that a pod sends can leave the machine.
fn connect() -> Result<(), String> {
    run("ip", &["link", "set", "lo", "up"])?;
    run("ip", &["link", "add", "node0", "type", "bridge"])?;
    run("ip", &["address", "add", &format!("{NODE_IP}/24"), "dev", "node0"])?;
    run("ip", &["link", "set", "node0", "up"])?;
    run("ip", &["route", "add", "default", "dev", "node0"])?;
    run("sysctl", &["-qw", "net.ipv4.ip_forward=1"])?;
    run("sysctl", &["-qw", "net.bridge.bridge-nf-call-iptables=1"]).or(Ok(()))
}

fn control_plane(node: &Node) -> Result<(), String> {
    let at = |path: &str| node.folder.join(path).display().to_string();
    let local = |port: u16| format!("http://127.0.0.1:{port}");
    let (clients, peers) = (local(2379), local(2380));
    node.start(
        "etcd",
        &[
            "--name=node",
            &format!("--data-dir={}", at("etcd")),
            &format!("--listen-client-urls={clients}"),
            &format!("--advertise-client-urls={clients}"),
            &format!("--listen-peer-urls={peers}"),
            &format!("--initial-advertise-peer-urls={peers}"),
            &format!("--initial-cluster=node={peers}"),
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
    )?;
    node.start(
        "kube-apiserver",
        &api_server(&at, &clients).iter().map(String::as_str).collect::<Vec<_>>(),
    )?;
    until("the API server", || {
        node.kubectl.ok(&["get", "--raw", "/readyz"]).map(drop)
    })?;
    let account = |name: &str| {
        ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
            .map(|flag| format!("--{flag}={}", at(&format!("cfg/{name}.conf"))))
    };
    let mut controllers = account("controllers").to_vec();
    controllers.extend([
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials".to_owned(),
        format!("--service-account-private-key-file={}", at("pki/accounts.key")),
        format!("--root-ca-file={}", at("pki/ca.crt")),
        format!("--flex-volume-plugin-dir={}", at("plugins")),
    ]);
    node.start(
        "kube-controller-manager",
        &controllers.iter().map(String::as_str).collect::<Vec<_>>(),
    )?;
    let mut scheduler = account("scheduler").to_vec();
    scheduler.extend(["--bind-address=127.0.0.1".to_owned(), "--leader-elect=false".to_owned()]);
    node.start(
        "kube-scheduler",
        &scheduler.iter().map(String::as_str).collect::<Vec<_>>(),
    )?;
    Ok(())
}

fn api_server(at: &impl Fn(&str) -> String, etcd: &str) -> Vec<String> {
    let files = [
        ("client-ca-file", "ca.crt"),
        ("requestheader-client-ca-file", "ca.crt"),
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("kubelet-certificate-authority", "ca.crt"),
        ("kubelet-client-certificate", "apiserver-kubelet.crt"),
        ("kubelet-client-key", "apiserver-kubelet.key"),
        ("service-account-key-file", "accounts.pub"),
        ("service-account-signing-key-file", "accounts.key"),
    ];
    let said = [
        ("etcd-servers", etcd),
        ("bind-address", "0.0.0.0"),
        ("secure-port", "6443"),
        ("advertise-address", NODE_IP),
        ("service-cluster-ip-range", SERVICES),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("kubelet-preferred-address-types", "InternalIP"),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("requestheader-allowed-names", "nobody"),
        ("requestheader-username-headers", "X-Remote-User"),
        ("requestheader-group-headers", "X-Remote-Group"),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
    ];
    let files = files.map(|(flag, file)| format!("--{flag}={}", at(&format!("pki/{file}"))));
    let said = said.map(|(flag, value)| format!("--{flag}={value}"));
    files.into_iter().chain(said).collect()
}

/// The part that runs pods.
fn machine(node: &Node) -> Result<(), String> {
    let at = |path: &str| node.folder.join(path).display().to_string();
    node.start_program(
        "containerd",
        Path::new("/usr/bin/containerd"),
        &["-c", &at("cfg/containerd.toml")],
    )?;
    let ctr = |arguments: &[&str]| {
        run(
            "ctr",
            &[&["--address", CONTAINERD, "--namespace", "k8s.io"], arguments].concat(),
        )
    };
    until("containerd", || ctr(&["version"]))?;
    let pause = std::fs::read(node.folder.join("bin/pause")).map_err(|error| format!("pause: {error}"))?;
    image::write("localhost/pause:test", "pause", &pause, &node.folder.join("pause.tar"))?;
    for archive in ["pause.tar", "segue.tar"] {
        ctr(&["images", "import", &at(archive)])?;
    }
    node.start(
        "kubelet",
        &[
            &format!("--config={}", at("cfg/kubelet.json")),
            &format!("--kubeconfig={}", at("cfg/kubelet.conf")),
            "--hostname-override=node",
            &format!("--node-ip={NODE_IP}"),
        ],
    )?;
    node.start("kube-proxy", &[&format!("--config={}", at("cfg/proxy.json"))])?;
    until(&format!("the node, at {API}"), || {
        node.kubectl.ok(&["get", "node", "node"]).map(drop)
    })
}

/// Asks again until it goes well; the error is the last one.
pub(super) fn until(what: &str, mut ask: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let start = Progress::start();
    loop {
        match ask() {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > PATIENCE => return Err(format!("{what} is not there: {error}")),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}
