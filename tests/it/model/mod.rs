//! The protocol as models that are searched whole within stated bounds, and each rule taken away once: then the search
//! must find the harm, or the rule, or the model, is not worth its lines.
//!
//! * [`lease`]: permits, fences, epochs and revs of one guild between two members.
//! * [`witness`]: what the leader says of the store on the Lease.
#![allow(
    clippy::print_stdout,
    clippy::struct_excessive_bools,
    clippy::unused_self,
    clippy::wildcard_enum_match_arm,
    reason = "a model is small states and rules; how much was searched is for whoever reads a failure"
)]

mod lease;
mod witness;

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker as _, HasDiscoveries, Model};

/// Searches until something is broken or everything was seen. Returns the first broken property, and how many different
/// states there were.
fn search<M>(model: M) -> (Option<&'static str>, usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Debug + Hash + Send + Sync + Clone + PartialEq + 'static,
    M::Action: Debug + Clone + PartialEq,
{
    let checker = model
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let broken = checker
        .model()
        .properties()
        .into_iter()
        .filter(|property| property.expectation == stateright::Expectation::Always)
        .find(|property| checker.discovery(property.name).is_some());
    if let Some(property) = &broken {
        let path = checker.discovery(property.name).expect("found");
        println!("{}: {:?}", property.name, path.into_actions());
    }
    (broken.map(|property| property.name), checker.unique_state_count())
}
