//! The words of `tidegate sink`.
//!
//! Owns its flags and how a share is written. Refuses to know what is answered (`answers`).

use clap::Args;

use crate::domain::limit::Rate;
use crate::domain::units::parse_duration_or_seconds;

/// `sink`.
#[derive(Debug, Clone, Args)]
pub struct SinkArgs {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8090)]
    pub port: u16,
    /// The status of every answer
    #[arg(
        long,
        value_name = "STATUS",
        default_value_t = 200,
        value_parser = clap::value_parser!(u16).range(200..=599)
    )]
    pub status: u16,
    /// Answer this share of the calls with 500, for example 10%
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub fail: Option<f64>,
    /// Answer calls that come faster than this with 429 and Retry-After, for example 20/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub rate: Option<Rate>,
    /// Wait so long before each answer, for example 50ms
    #[arg(
        long,
        value_name = "TIME",
        default_value = "0s",
        hide_default_value = true,
        value_parser = parse_duration_or_seconds
    )]
    pub latency: u64,
    /// Answer 202 with "Tidegate-Receipt: pending": the result is reported later, by a receipt
    #[arg(long, conflicts_with = "status")]
    pub pending: bool,
    /// Print no line for each call, only the counts at the end
    #[arg(long)]
    pub quiet: bool,
}

/// Reads `10%`.
fn parse_share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    percent
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| {
            format!("\"{text}\" is not a valid share; expected 0% to 100%, for example 10%")
        })
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    text.parse::<Rate>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_written_in_percent() {
        assert_eq!(parse_share("10%"), Ok(0.1));
        assert_eq!(parse_share("0%"), Ok(0.0));
        assert_eq!(parse_share("100 %"), Ok(1.0));
        for bad in ["", "10", "0.1", "-1%", "101%", "NaN%", "inf%", "%", "ten%"] {
            assert!(parse_share(bad).unwrap_err().contains("for example 10%"), "{bad}");
        }
    }
}
