//! What is proof, and what is not.

use super::*;

fn member(name: &str, origin: Origin) -> MemberRow {
    MemberRow {
        origin,
        container_id: Some(format!("containerd://{name}")),
        ..MemberRow::new(MemberId(name.into()), name.into())
    }
}

fn here(pod: Option<&str>) -> Origin {
    Origin {
        boot: Some("boot".into()),
        net_namespace: Some(1),
        pod_uid: pod.map(Into::into),
        ..Origin::default()
    }
}

fn elsewhere(pod: &str) -> Origin {
    Origin {
        net_namespace: Some(2),
        ..here(Some(pod))
    }
}

fn gone(pod: &str) -> ContainerEnd {
    ContainerEnd::PodGone { pod_uid: pod.into() }
}

fn terminated(pod: &str, container: &str) -> ContainerEnd {
    ContainerEnd::Terminated {
        pod_uid: pod.into(),
        container_id: format!("containerd://{container}"),
    }
}

/// What was seen of member `a`, where it runs, where who answered runs; whether it is dead.
type Case = (&'static str, Vec<Sign>, Vec<ContainerEnd>, Origin, Origin, bool);

#[test]
fn only_what_is_certain_is_proof() {
    use Sign::{Answered, Connected, Cut, Refused};
    let other = || Answered(MemberId("b".into()));
    let pod = || elsewhere("pa");
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("nothing", vec![], vec![], here(None), here(None), false),
        ("it hung up", vec![Cut], vec![], here(None), here(None), false),
        ("it hung up and refuses", vec![Cut, Refused], vec![], here(None), here(None), true),
        ("and came back", vec![Cut, Refused, Connected], vec![], here(None), here(None), false),
        ("and came back and hung up", vec![Cut, Refused, Connected, Cut], vec![], here(None), here(None), false),
        ("the same in another network", vec![Cut, Refused], vec![], pod(), pod(), false),
        ("the network is not known", vec![Cut, Refused], vec![], Origin::default(), here(None), false),
        ("another machine's namespace of the same number", vec![Cut, Refused], vec![],
            Origin { boot: Some("other".into()), ..here(None) }, here(None), false),
        ("its pod is gone", vec![], vec![gone("pa")], pod(), pod(), false),
        ("its pod is gone and it hung up", vec![Cut], vec![gone("pa")], pod(), pod(), true),
        ("another's pod is gone and it hung up", vec![Cut], vec![gone("pb")], pod(), pod(), false),
        ("its container ended", vec![], vec![terminated("pa", "a")], pod(), pod(), true),
        ("the container before it ended", vec![], vec![terminated("pa", "before")], pod(), pod(), false),
        ("a container of that name in another pod", vec![], vec![terminated("pb", "a")], pod(), pod(), false),
        ("another of its pod has its address", vec![Cut, other()], vec![], pod(), pod(), true),
        ("another pod has its address", vec![Cut, other()], vec![], pod(), elsewhere("pb"), false),
        ("another of this network has its address", vec![Cut, other()], vec![], here(None), here(None), true),
        ("who answers is not known", vec![Cut, Answered(MemberId("x".into()))], vec![], here(None), here(None), false),
    ];
    for (name, signs, ends, its, others, dead) in cases {
        let mut evidence = Evidence::default();
        for sign in signs {
            evidence.sign(MemberId("a".into()), sign, 5);
        }
        for end in ends {
            evidence.container(end);
        }
        let members = [member("a", its), member("b", others)];
        let why = evidence.proves(&here(None), &members[0], &members);
        assert_eq!(why.is_some(), dead, "{name}: {why:?}");
    }
}

#[test]
fn who_is_final_needs_no_proof_and_is_forgotten() {
    let mut evidence = Evidence::default();
    let id = MemberId("a".into());
    evidence.sign(id.clone(), Sign::Cut, 5);
    evidence.sign(id.clone(), Sign::Refused, 9);
    assert_eq!(evidence.first_sign(&id), Some(5));
    let row = MemberRow {
        state: crate::store::MemberState::Fenced,
        ..member("a", here(None))
    };
    assert_eq!(evidence.proves(&here(None), &row, std::slice::from_ref(&row)), None);
    evidence.retain(|_| false);
    assert_eq!(evidence.first_sign(&id), None);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut evidence = Evidence::default();
    for number in 0..2 * REMEMBERED {
        evidence.container(gone(&number.to_string()));
    }
    assert_eq!(evidence.ended.len(), REMEMBERED);
    assert_eq!(evidence.ended[0], gone(&(2 * REMEMBERED - 1).to_string()));
}
