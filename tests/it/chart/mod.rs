//! The chart as operators meet it: rendered by a real Helm, checked as structures. One test for each row of the checklist.

mod dashboards;
mod figures;
mod golden;
mod hostile;
mod live;
mod manifests;
mod monitoring;
mod packaging;
mod pods;
mod policy;
mod render;
mod rules;
mod settings;
mod texts;
mod values;

#[path = "../../../xtask/src/chart/programs.rs"]
mod programs;
