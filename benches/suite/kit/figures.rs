//! Figures of several rounds: median and spread.

/// The same figure, once a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn add(&mut self, value: f64) {
        let at = self.0.partition_point(|figure| *figure < value);
        self.0.insert(at, value);
    }

    /// All of them, the least first.
    pub(crate) fn all(&self) -> &[f64] {
        &self.0
    }

    /// How many are more than that.
    pub(crate) fn above(&self, bound: f64) -> f64 {
        float(self.0.iter().filter(|value| **value > bound).count())
    }

    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }
}

impl From<f64> for Figures {
    fn from(value: f64) -> Self {
        Self(vec![value])
    }
}

/// Round by round, ours against the limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pair {
    pub(crate) limit: Figures,
    pub(crate) ours: Figures,
    pub(crate) ratio: Figures,
}

impl Pair {
    pub(crate) fn add(&mut self, limit: f64, ours: f64) {
        self.limit.add(limit);
        self.ours.add(ours);
        self.ratio.add(ours / limit);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
pub(crate) fn float(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(0) as f64
}
