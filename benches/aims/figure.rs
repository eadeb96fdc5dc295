//! One measured figure, what it is held against, and the verdict.

/// What the ratio of a figure is meant to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Nothing was promised: the figure is there to be known.
    Told,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// How much it was, in `unit`.
    pub(crate) value: f64,
    /// `ms`, `MB`, `events/s`, …
    pub(crate) unit: &'static str,
    /// What it is divided by, in the same unit.
    pub(crate) against: f64,
    /// What that is: another measurement of the same run, or a fixed limit.
    pub(crate) of: String,
    /// What the ratio is meant to be.
    pub(crate) aim: Aim,
}

impl Figure {
    /// One that is `value`, in `unit`, held against `against` (`of` says what that is).
    pub(crate) fn new(what: &str, value: f64, unit: &'static str, against: f64, of: &str, aim: Aim) -> Self {
        Self {
            what: what.to_owned(),
            value,
            unit,
            against,
            of: of.to_owned(),
            aim,
        }
    }

    /// The figure divided by what it is held against.
    pub(crate) fn ratio(&self) -> f64 {
        self.value / self.against
    }

    /// Whether it is what it was meant to be; `None` where nothing was promised. What is no number holds nothing.
    pub(crate) fn held(&self) -> Option<bool> {
        match self.aim {
            Aim::AtLeast(least) => Some(self.ratio() >= least),
            Aim::AtMost(most) => Some(self.ratio() <= most),
            Aim::Told => None,
        }
    }
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It has figures.
    Measured(Vec<Figure>),
    /// It cannot be measured on this machine, and why.
    Skipped(String),
    /// It broke off; the reason stands on the standard error too.
    Failed(String),
}

impl Outcome {
    /// Whether nothing was missed.
    pub(crate) fn is_well(&self) -> bool {
        match self {
            Self::Measured(figures) => figures.iter().all(|figure| figure.held() != Some(false)),
            Self::Skipped(_) => true,
            Self::Failed(_) => false,
        }
    }
}

/// The value below which `part` (0 to 1) of the samples lie: the sample at that rank, not a mean between two.
pub(crate) fn percentile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among a few thousand samples"
    )]
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The middle sample.
pub(crate) fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// Milliseconds with their fractions.
pub(crate) fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
