//! Parsers of option values, with bounds.

use std::time::Duration;

/// Seconds, also broken ones (`0.25`), from 0 up to 30 days.
pub fn seconds(text: &str) -> Result<Duration, String> {
    const MAX: f64 = 30.0 * 86_400.0;
    let value: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=MAX).contains(&value) {
        return Err(format!("must be from 0 to {MAX} seconds"));
    }
    Ok(Duration::from_secs_f64(value))
}

/// As [`seconds`], but at least a hundredth of one: for intervals, where 0 would mean a busy loop.
pub fn interval(text: &str) -> Result<Duration, String> {
    let value = seconds(text)?;
    if value < Duration::from_millis(10) {
        Err("must be at least 0.01 seconds".to_owned())
    } else {
        Ok(value)
    }
}

/// Whole milliseconds, as job records hold them.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_have_bounds() {
        assert_eq!(seconds("0.25").unwrap(), Duration::from_millis(250));
        assert_eq!(milliseconds(seconds("5").unwrap()), 5_000);
        for bad in ["-1", "NaN", "inf", "1e12", "", "5s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert!(interval("0").is_err());
    }
}
