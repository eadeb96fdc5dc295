//! Tables and properties of the whole machine.

mod music;
mod recovery;
mod scene;
mod walk;
