//! Whole numbers in JSON bodies. JSON knows no integers: `50.0` is 50, and some languages write it so.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::{Number, Value};

/// Largest whole number up to which every whole number is exact as a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// For `deserialize_with`: a `u32`, a `u64`, an option or a list of one.
pub fn whole<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: for<'a> Deserialize<'a>,
    D: Deserializer<'de>,
{
    let mut value = Value::deserialize(deserializer)?;
    settle(&mut value);
    T::deserialize(value).map_err(|error| Error::custom(error.to_string()))
}

fn settle(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            if let Some(float) = float.filter(|float| float.fract() == 0.0 && (0.0..=EXACT).contains(float)) {
                *number = Number::from(float as u64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Example {
        #[serde(default, deserialize_with = "whole")]
        one: u64,
        #[serde(default, deserialize_with = "whole")]
        perhaps: Option<u32>,
        #[serde(default, deserialize_with = "whole")]
        several: Option<Vec<u32>>,
    }

    fn read(json: &str) -> Result<Example, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_numbers_however_they_are_written() {
        let expected = Example { one: 50, perhaps: Some(7), several: Some(vec![1, 2]) };
        assert_eq!(read(r#"{"one": 50, "perhaps": 7, "several": [1, 2]}"#).unwrap(), expected);
        assert_eq!(read(r#"{"one": 5e1, "perhaps": 7.0, "several": [1.0, 2]}"#).unwrap(), expected);
        assert_eq!(read(r#"{"one": 18446744073709551615}"#).unwrap().one, u64::MAX);
        assert_eq!(read(r#"{"perhaps": null}"#).unwrap(), Example { one: 0, perhaps: None, several: None });
        for wrong in [
            r#"{"one": 1.5}"#,
            r#"{"one": -1.0}"#,
            r#"{"one": 1e300}"#,
            r#"{"one": 18446744073709551616}"#,
            r#"{"one": "1"}"#,
            r#"{"one": null}"#,
            r#"{"perhaps": 4294967296.0}"#,
            r#"{"several": [1, 0.5]}"#,
            r#"{"several": 1}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
