//! The settings of the cluster's parts.

use std::path::Path;

use serde_json::{Value, json};

/// The node's own address, on a bridge that has no way out.
pub(crate) const NODE_IP: &str = "10.77.0.1";
/// The virtual address of the API, the first of the services'.
pub(super) const API_SERVICE: &str = "10.79.0.1";
/// Addresses of services and of pods.
pub(super) const SERVICES: &str = "10.79.0.0/16";
pub(super) const PODS: &str = "10.78.0.0/24";
/// Where the API is reached on the node.
pub(super) const API: &str = "https://10.77.0.1:6443";
/// Where containerd is reached inside.
pub(super) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// Writes all of them into `cfg` below the folder. JSON is YAML.
pub(super) fn write(folder: &Path, group: &str) -> Result<(), String> {
    let at = |path: &str| folder.join(path).display().to_string();
    let put = |name: &str, text: String| {
        let path = folder.join("cfg").join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    for user in ["admin", "controllers", "scheduler", "proxy", "kubelet"] {
        put(&format!("{user}.conf"), account(&at, user).to_string())?;
    }
    put("kubelet.json", kubelet(&at, group).to_string())?;
    put("proxy.json", proxy(&at).to_string())?;
    put("containerd.toml", containerd(&at))?;
    put("resolv.conf", String::new())?;
    put("net.d/10-pods.conflist", network(&at).to_string())
}

fn account(at: &impl Fn(&str) -> String, user: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": API, "certificate-authority": at("pki/ca.crt") } }],
        "users": [{ "name": user, "user": {
            "client-certificate": at(&format!("pki/{user}.crt")), "client-key": at(&format!("pki/{user}.key")),
        } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": user } }],
        "current-context": "test",
    })
}

fn kubelet(at: &impl Fn(&str) -> String, group: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false }, "webhook": { "enabled": true }, "x509": { "clientCAFile": at("pki/ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": at("pki/kubelet.crt"),
        "tlsPrivateKeyFile": at("pki/kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{group}"),
        // Machines with the old control groups are refused otherwise.
        "failCgroupV1": false,
        "failSwapOn": false,
        "resolvConf": at("cfg/resolv.conf"),
        // Its own place is one of the machine's.
        "volumePluginDir": at("plugins"),
        // The machine's disk and memory are not the cluster's to judge.
        "evictionHard": {
            "imagefs.available": "0%", "imagefs.inodesFree": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
            "memory.available": "50Mi",
        },
        "imageGCHighThresholdPercent": 100,
        "enforceNodeAllocatable": ["pods"],
        // Without the capability to raise priorities neither may be changed.
        "oomScoreAdj": 0,
    })
}

fn proxy(at: &impl Fn(&str) -> String) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": "node",
        "clientConnection": { "kubeconfig": at("cfg/proxy.conf") },
        "conntrack": { "maxPerCore": 0, "min": 0 },
        "oomScoreAdj": 0,
    })
}

fn containerd(at: &impl Fn(&str) -> String) -> String {
    let criplugin = "plugins.\"io.containerd.grpc.v1.cri\"";
    let runtime = format!("{criplugin}.containerd.runtimes.runc");
    [
        "version = 2".to_owned(),
        format!("root = \"{}\"", at("containerd")),
        "state = \"/run/containerd\"".to_owned(),
        // The last one would make a folder in /opt.
        "disabled_plugins = [\"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", \
         \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.zfs\", \
         \"io.containerd.tracing.processor.v1.otlp\", \"io.containerd.internal.v1.tracing\", \"io.containerd.internal.v1.opt\"]"
            .to_owned(),
        format!("[grpc]\naddress = \"{CONTAINERD}\""),
        format!("[{criplugin}]\nsandbox_image = \"localhost/pause:test\"\nrestrict_oom_score_adj = true"),
        format!(
            "[{criplugin}.cni]\nbin_dir = \"/usr/lib/cni\"\nconf_dir = \"{}\"",
            at("cfg/net.d")
        ),
        format!("[{criplugin}.containerd]\nsnapshotter = \"overlayfs\"\ndefault_runtime_name = \"runc\""),
        format!("[{runtime}]\nruntime_type = \"io.containerd.runc.v2\""),
        format!("[{runtime}.options]\nSystemdCgroup = false\n"),
    ]
    .join("\n")
}

fn network(at: &impl Fn(&str) -> String) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge", "bridge": "pods0", "isGateway": true, "isDefaultGateway": true, "hairpinMode": true,
                "ipam": { "type": "host-local", "dataDir": at("cni"), "ranges": [[{ "subnet": PODS }]] },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}
