//! Which of the release's Lavalink pods are leaving, by what the Pod watch hears. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;

/// The label that tells a release's parts apart, and what the chart gives Lavalink's pods.
const COMPONENT: &str = "app.kubernetes.io/component";
const LAVALINK: &str = "lavalink";

/// The names of Lavalink's pods whose deletion was asked for and which are still there. A successor has the name of its
/// predecessor, and comes only when that is gone.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    names: BTreeSet<String>,
    /// While the watch begins anew: the names so far, of all pods.
    listed: Option<BTreeSet<String>>,
}

impl Leaving {
    /// Who is leaving after this.
    pub(super) fn hear(&mut self, event: &watcher::Event<Pod>) -> &BTreeSet<String> {
        match event {
            watcher::Event::Init => self.listed = Some(BTreeSet::new()),
            watcher::Event::InitApply(pod) => {
                if let (Some(listed), Some(name)) = (&mut self.listed, &pod.metadata.name) {
                    listed.insert(name.clone());
                }
                self.seen(pod);
            }
            // Nobody told of those that went while nobody watched.
            watcher::Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.names.retain(|name| listed.contains(name));
                }
            }
            watcher::Event::Apply(pod) => self.seen(pod),
            watcher::Event::Delete(pod) => {
                if let Some(name) = &pod.metadata.name {
                    self.names.remove(name);
                }
            }
        }
        &self.names
    }

    fn seen(&mut self, pod: &Pod) {
        let Some(name) = &pod.metadata.name else { return };
        if pod.metadata.deletion_timestamp.is_some() && is_lavalink(pod) {
            self.names.insert(name.clone());
        } else {
            self.names.remove(name);
        }
    }
}

fn is_lavalink(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(COMPONENT)).map(String::as_str) == Some(LAVALINK)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kube::runtime::watcher::Event;

    use super::*;

    fn pod(name: &str, component: &str, leaves: bool) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.labels = Some([(COMPONENT.to_owned(), component.to_owned())].into());
        pod.metadata.deletion_timestamp = leaves.then_some(Time(jiff::Timestamp::UNIX_EPOCH));
        pod
    }

    fn stays(name: &str) -> Pod {
        pod(name, LAVALINK, false)
    }

    fn leaves(name: &str) -> Pod {
        pod(name, LAVALINK, true)
    }

    /// Who is leaving after each of these.
    fn after(events: &[Event<Pod>]) -> Vec<Vec<String>> {
        let mut leaving = Leaving::default();
        let each = events.iter().map(|event| leaving.hear(event).iter().cloned().collect());
        each.collect()
    }

    #[test]
    fn a_lavalink_pod_is_leaving_from_its_deletion_being_asked_for_until_it_is_gone() {
        let told = after(&[
            Event::Apply(stays("l-0")),
            Event::Apply(leaves("l-0")),
            Event::Apply(leaves("l-1")),
            Event::Delete(leaves("l-0")),
            Event::Apply(stays("l-0")),
            Event::Delete(leaves("l-1")),
        ]);
        let expected: [&[&str]; 6] = [&[], &["l-0"], &["l-0", "l-1"], &["l-1"], &["l-1"], &[]];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_leaving_pod_of_another_part_never_counts() {
        let mut unlabelled = leaves("l-0");
        unlabelled.metadata.labels = None;
        let told = after(&[Event::Apply(pod("b-0", "bot", true)), Event::Apply(unlabelled)]);
        assert_eq!(told, [Vec::<String>::new(), Vec::new()]);
    }

    #[test]
    fn the_first_list_tells_who_is_leaving_already() {
        let told = after(&[
            Event::Init,
            Event::InitApply(stays("l-0")),
            Event::InitApply(leaves("l-1")),
            Event::InitDone,
        ]);
        assert_eq!(told.last().unwrap(), &["l-1"]);
    }

    #[test]
    fn who_went_while_nobody_watched_is_missing_from_the_next_list_or_has_a_successor() {
        let told = after(&[
            Event::Apply(leaves("l-0")),
            Event::Apply(leaves("l-1")),
            Event::Apply(leaves("l-2")),
            Event::Init,
            Event::InitApply(stays("l-1")),
            Event::InitApply(leaves("l-2")),
            Event::InitDone,
        ]);
        assert_eq!(told[3], ["l-0", "l-1", "l-2"], "an empty beginning says nothing");
        assert_eq!(told.last().unwrap(), &["l-2"]);
    }

    #[test]
    fn a_list_that_broke_off_is_forgotten() {
        let told = after(&[
            Event::Apply(leaves("l-0")),
            Event::Init,
            Event::InitApply(leaves("l-0")),
            Event::Init,
            Event::InitDone,
        ]);
        assert_eq!(told.last().unwrap(), &Vec::<String>::new());
    }
}
