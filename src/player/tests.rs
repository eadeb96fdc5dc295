//! Tables and properties of the whole machine.

mod formats;
mod music;
mod reconcile;
mod recovery;
mod scene;
mod walk;
