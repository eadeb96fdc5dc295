//! Chromium and its driver, for the tests that look at pages. On Debian they are installed when root asks.

use crate::debian;
use crate::progress::Progress;

/// Where Debian puts them; the tests look nowhere else.
const PROGRAMS: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromedriver"];
/// The browser, its driver, and a font, without which every page is blank boxes.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "fonts-dejavu-core"];

/// Finds both, or installs them. The error says what is missing and what to do; tests that need them then skip aloud.
pub(crate) fn install(progress: Progress) -> Result<(), String> {
    debian::install("chromium", &PROGRAMS, &PACKAGES, progress)
}
