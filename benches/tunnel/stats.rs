//! Samples, and the few figures that a person reads of many.

use std::time::Duration;

/// Measured values of one kind, in ascending order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Durations as milliseconds.
    pub(crate) fn milliseconds(values: impl IntoIterator<Item = Duration>) -> Self {
        Self::new(values.into_iter().map(|value| value.as_secs_f64() * 1e3).collect())
    }

    /// The value that this share of all are at or below; NaN of none.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    pub(crate) fn least(&self) -> f64 {
        self.quantile(0.0)
    }

    pub(crate) fn most(&self) -> f64 {
        self.quantile(1.0)
    }

    /// From the least to the most, with this many decimals.
    pub(crate) fn spread(&self, decimals: usize) -> String {
        format!("{:.decimals$} to {:.decimals$}", self.least(), self.most())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let samples = Samples::new((1..=200).rev().map(f64::from).collect());
        assert_eq!((samples.least(), samples.median(), samples.p99(), samples.most()), (1.0, 100.0, 198.0, 200.0));
        assert_eq!(Samples::new(vec![3.0]).p99(), 3.0);
        assert!(Samples::default().median().is_nan());
    }
}
