//! The manifests below `k8s/` that are made from the chart: one file for each object, without what only Helm needs.

/// One folder, the values it is rendered with, and which of the chart's templates go into it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Where its files go.
    pub(crate) folder: &'static str,
    /// `--set` for each.
    pub(crate) values: &'static [&'static str],
    /// Templates and the file that each becomes.
    pub(crate) templates: &'static [(&'static str, &'static str)],
}

/// The namespace in rendered text, so that it can be found again and taken out.
const NAMESPACE: &str = "namespace-of-the-overlay";
/// What the base stands on: Secrets by these names, and one Lavalink node.
const BASE: &[&str] = &[
    "discord.existingSecret=segue-discord",
    "mongodb.existingSecret=segue-mongodb",
    "lavalink.external[0].name=a",
    "lavalink.external[0].url=http://lavalink:2333",
    "lavalink.external[0].existingSecret=segue-lavalink",
];
const LAVALINK: &[&str] = &["lavalink.enabled=true", "lavalink.existingSecret=segue-lavalink"];

/// Every folder that is made.
pub(crate) const PARTS: &[Part] = &[
    Part {
        folder: "k8s/base",
        values: &[],
        templates: &[
            ("pdb.yaml", "pdb.yaml"),
            ("serviceaccount.yaml", "serviceaccount.yaml"),
            ("role.yaml", "role.yaml"),
            ("rolebinding.yaml", "rolebinding.yaml"),
            ("service-headless.yaml", "service.yaml"),
            ("statefulset.yaml", "statefulset.yaml"),
        ],
    },
    Part {
        folder: "k8s/components/lavalink",
        values: LAVALINK,
        templates: &[
            ("lavalink/pdb.yaml", "pdb.yaml"),
            ("lavalink/configmap.yaml", "configmap.yaml"),
            ("lavalink/service-headless.yaml", "service.yaml"),
            ("lavalink/statefulset.yaml", "statefulset.yaml"),
        ],
    },
    Part {
        folder: "k8s/components/mongodb-dev",
        values: &["mongodb.existingSecret=", "mongodb.bundled.enabled=true"],
        templates: &[
            ("mongodb/networkpolicy.yaml", "networkpolicy.yaml"),
            ("mongodb/service-headless.yaml", "service.yaml"),
            ("mongodb/statefulset.yaml", "statefulset.yaml"),
        ],
    },
    Part {
        folder: "k8s/components/networkpolicy",
        // What other components need, since an overlay may have them: Prometheus in the namespace `monitoring` or beside
        // the pods, and the collector of traces.
        values: &[
            "networkPolicy.enabled=true",
            r"networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\.io/metadata\.name=monitoring",
            "metrics.podMonitor.enabled=true",
            "otel.endpoint=http://collector.monitoring.svc:4318",
            LAVALINK[0],
            LAVALINK[1],
        ],
        templates: &[
            ("networkpolicy.yaml", "bot.yaml"),
            ("lavalink/networkpolicy.yaml", "lavalink.yaml"),
        ],
    },
    Part {
        folder: "k8s/components/monitoring-prometheus-operator",
        values: &[
            "metrics.podMonitor.enabled=true",
            "metrics.prometheusRule.enabled=true",
            LAVALINK[0],
            LAVALINK[1],
        ],
        templates: &[
            ("podmonitor.yaml", "podmonitor-bot.yaml"),
            ("lavalink/podmonitor.yaml", "podmonitor-lavalink.yaml"),
            ("prometheusrule.yaml", "prometheusrule.yaml"),
        ],
    },
    Part {
        folder: "k8s/components/dashboards",
        values: &["dashboards.enabled=true"],
        templates: &[("dashboards.yaml", "configmap.yaml")],
    },
];

/// What Helm is asked, from the repository's root.
pub(crate) fn arguments(values: &[&str]) -> Vec<String> {
    let told = ["template", "segue", "charts/segue", "--namespace", NAMESPACE];
    let set = BASE.iter().chain(values).flat_map(|value| ["--set", value]);
    told.into_iter().chain(set).map(str::to_owned).collect()
}

/// A part's files: path and text.
pub(crate) fn files(part: &Part, rendered: &str) -> Vec<(String, String)> {
    let documents: Vec<&str> = rendered.split("---\n").collect();
    let of = |template: &str| {
        let source = format!("# Source: segue/templates/{template}\n");
        documents.iter().find_map(|document| document.strip_prefix(&source))
    };
    let file = |(template, name): &(&str, &str)| {
        let text = of(template).map(plain)?;
        let head = format!("# Made from charts/segue/templates/{template} by `cargo xtask k8s-render`.\n");
        Some((format!("{}/{name}", part.folder), head + &text))
    };
    part.templates.iter().filter_map(file).collect()
}

/// Without what belongs to Helm and to one namespace, which is known only when kustomize builds. Addresses lose it too, for
/// names are found without it; and questions to Prometheus, which ask about every namespace then.
fn plain(document: &str) -> String {
    let mine = |line: &&str| {
        let text = line.trim_start();
        let of_helm = ["helm.sh/chart:", "checksum/config:"]
            .iter()
            .any(|key| text.starts_with(key));
        !of_helm && text != format!("namespace: {NAMESPACE}")
    };
    let kept = document.lines().filter(mine).map(|line| {
        line.replace(&format!(".{NAMESPACE}.svc"), "")
            .replace(&format!(",namespace=\"{NAMESPACE}\""), "")
            .replace(
                "app.kubernetes.io/managed-by: Helm",
                "app.kubernetes.io/managed-by: kustomize",
            )
            + "\n"
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_loses_its_namespace_and_what_belongs_to_helm() {
        let rendered = "---\n# Source: segue/templates/role.yaml\nkind: Role\nmetadata:\n  namespace: namespace-of-the-overlay\n  labels:\n    app.kubernetes.io/managed-by: Helm\n    helm.sh/chart: segue-1\nhost: a.b.namespace-of-the-overlay.svc:1\nexpr: up{a=\"b\",namespace=\"namespace-of-the-overlay\"} == 1\n";
        let part = Part {
            folder: "k",
            values: &[],
            templates: &[("role.yaml", "role.yaml"), ("absent.yaml", "absent.yaml")],
        };
        let expected = "# Made from charts/segue/templates/role.yaml by `cargo xtask k8s-render`.\nkind: Role\nmetadata:\n  labels:\n    app.kubernetes.io/managed-by: kustomize\nhost: a.b:1\nexpr: up{a=\"b\"} == 1\n";
        assert_eq!(
            files(&part, rendered),
            [("k/role.yaml".to_owned(), expected.to_owned())]
        );
    }
}
