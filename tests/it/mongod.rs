//! Real `mongod` processes.
pub(crate) struct Set; impl Set { pub(crate) fn uri(&self, db: &str) -> String { db.to_owned() } }
pub(crate) async fn shared() -> Option<&'static Set> { None }
