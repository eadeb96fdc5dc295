//! Whether the Kubernetes API is there, and lets this process do what a replica does: elect by a Lease, and watch pods.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client, Config};

use super::fetch::causes;
use super::verdict::Verdict;
use crate::config::Settings;

/// The verb, the resource, and whether it is asked for by the Lease's name.
type Right = (&'static str, &'static str, bool);

/// What is to be allowed. Making an object cannot be limited to a name.
const RIGHTS: [Right; 6] = [
    ("create", "leases", false),
    ("get", "leases", true),
    ("update", "leases", true),
    ("get", "pods", false),
    ("list", "pods", false),
    ("watch", "pods", false),
];

/// Asks the API server what this process may do there.
pub(super) async fn check(settings: &Settings) -> Verdict {
    match refused(settings).await {
        Ok((namespace, refused)) => judge(&namespace, &settings.lease, &refused),
        Err(what) => Verdict::wrong(
            what,
            "in a pod: let it reach the API server, with its account's token mounted; outside: check KUBECONFIG, or set \
             SEGUE_CLUSTER=store",
        ),
    }
}

/// The namespace, and what is not allowed in it. The error is why that cannot be known.
async fn refused(settings: &Settings) -> Result<(String, Vec<&'static Right>), String> {
    let config = Config::infer().await.map_err(|error| causes(&error))?;
    let namespace = settings.place.pod_namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| causes(&error))?;
    let api: Api<SelfSubjectAccessReview> = Api::all(client);
    let (post, mut refused) = (PostParams::default(), Vec::new());
    for right in &RIGHTS {
        let asked = question(&namespace, &settings.lease, right);
        let answer = api.create(&post, &asked).await.map_err(|error| causes(&error))?;
        if !answer.status.is_some_and(|status| status.allowed) {
            refused.push(right);
        }
    }
    Ok((namespace, refused))
}

fn question(namespace: &str, lease: &str, (verb, resource, named): &Right) -> SelfSubjectAccessReview {
    let group = if *resource == "leases" {
        "coordination.k8s.io"
    } else {
        ""
    };
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        verb: Some((*verb).to_owned()),
        group: Some(group.to_owned()),
        resource: Some((*resource).to_owned()),
        name: named.then(|| lease.to_owned()),
        ..ResourceAttributes::default()
    };
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

fn judge(namespace: &str, lease: &str, refused: &[&Right]) -> Verdict {
    let listed = |resource: &str| {
        let verbs = refused.iter().filter(|right| right.1 == resource).map(|right| right.0);
        verbs.collect::<Vec<_>>().join(", ")
    };
    let (leases, pods) = (listed("leases"), listed("pods"));
    match (leases.as_str(), pods.as_str()) {
        ("", "") => Verdict::fine(format!(
            "may elect by the Lease {lease} and watch the pods of {namespace}"
        )),
        ("", pods) => Verdict::careful(
            format!("may not {pods} pods in {namespace}, so deaths are noticed later"),
            "give the account the verbs get, list and watch for pods; the chart's Role has them (rbac.create)",
        ),
        (leases, _) => Verdict::wrong(
            format!("may not {leases} the Lease {lease} in {namespace}, so nobody can lead"),
            "give the account the verbs create, get and update for leases; the chart's Role has them (rbac.create), for the \
             Lease that SEGUE_LEASE names",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_is_missing_is_told_with_what_it_costs() {
        let said = |refused: &[&Right]| judge("music", "segue", refused);
        assert!(matches!(said(&[]), Verdict::Fine(_)));
        let Verdict::Careful { what, todo } = said(&[&RIGHTS[4], &RIGHTS[5]]) else {
            panic!("pods are a quicker way, not the only one")
        };
        assert!(
            what.contains("list, watch pods") && todo.contains("rbac.create"),
            "{what} {todo}"
        );
        let Verdict::Wrong { what, todo } = said(&[&RIGHTS[2], &RIGHTS[5]]) else {
            panic!("without the Lease nobody leads")
        };
        assert!(
            what.contains("update the Lease segue") && todo.contains("SEGUE_LEASE"),
            "{what} {todo}"
        );
    }

    #[test]
    fn only_making_a_lease_is_asked_without_its_name() {
        let asked = |right| question("music", "segue", right).spec.resource_attributes.unwrap();
        assert_eq!(asked(&RIGHTS[0]).name, None);
        assert_eq!(asked(&RIGHTS[2]).name.as_deref(), Some("segue"));
        assert_eq!(asked(&RIGHTS[2]).group.as_deref(), Some("coordination.k8s.io"));
        assert_eq!(asked(&RIGHTS[5]).group.as_deref(), Some(""));
        assert_eq!(asked(&RIGHTS[5]).namespace.as_deref(), Some("music"));
    }
}
