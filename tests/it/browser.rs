//! A headless Chromium by `WebDriver` (<https://www.w3.org/TR/webdriver2/>), as much of it as the page's test needs.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::harness::paced;

/// How often a page is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Programs that must be installed.
const NEEDED: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromedriver"];

/// Why there is no browser here, if there is none.
pub(crate) fn missing() -> Option<String> {
    let absent = NEEDED.iter().find(|program| !Path::new(program).exists())?;
    Some(format!("{absent} is not installed"))
}

/// A browser with one window. Dropping it kills the driver; [`Browser::quit`] closes both in order.
pub(crate) struct Browser {
    http: reqwest::Client,
    session: String,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let mut driver = Command::new(NEEDED[1])
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("the driver says its port");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let profile = tempfile::tempdir().unwrap();
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ];
        let mut args: Vec<String> = flags.map(str::to_owned).to_vec();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": args, "binary": NEEDED[0]}}}});
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .build()
            .unwrap();
        let base = format!("http://127.0.0.1:{port}/session");
        let answer: Value = http
            .post(&base)
            .json(&wanted)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let id = answer["value"]["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("no session: {answer}"));
        Self {
            session: format!("{base}/{id}"),
            http,
            driver,
            _profile: profile,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self
            .http
            .post(format!("{}/{path}", self.session))
            .json(&body)
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].clone()
    }

    pub(crate) async fn open(&self, url: &str) {
        self.post("url", json!({"url": url})).await;
    }

    /// The value of a JavaScript expression in the page.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        self.post(
            "execute/sync",
            json!({"script": format!("return ({expression})"), "args": []}),
        )
        .await
    }

    /// Waits until an expression is true; with what `shown` gives it says why it was not.
    pub(crate) async fn until(&self, what: &str, expression: &str, limit: Duration, shown: &str) {
        paced(limit, LOOK, what, || async {
            if self.eval(expression).await == json!(true) {
                Ok(())
            } else {
                Err(self.eval(shown).await)
            }
        })
        .await;
    }

    /// A real click in the middle of the first element that matches.
    pub(crate) async fn click(&self, selector: &str) {
        let found = self
            .post("element", json!({"using": "css selector", "value": selector}))
            .await;
        let id = found
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        self.post(&format!("element/{id}/click"), json!({})).await;
    }

    /// Keys to whatever has the focus.
    pub(crate) async fn press(&self, key: char) {
        let actions = json!([{"type": "key", "id": "keyboard", "actions": [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]}]);
        self.post("actions", json!({"actions": actions})).await;
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        self.post("goog/cdp/execute", json!({"cmd": command, "params": params}))
            .await
    }

    pub(crate) async fn look(&self, width: u32, height: u32, dark: bool) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// A picture of the window, or with `whole` of the whole page.
    pub(crate) async fn picture(&self, path: &Path, whole: bool) {
        let shot = self
            .devtools(
                "Page.captureScreenshot",
                json!({"format": "png", "captureBeyondViewport": whole}),
            )
            .await;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().unwrap())
            .unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Errors of the page's console.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let all = self.post("se/log", json!({"type": "browser"})).await;
        let severe = all
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }

    pub(crate) async fn quit(mut self) {
        self.http.delete(&self.session).send().await.unwrap();
        self.driver.kill().await.unwrap();
    }
}
