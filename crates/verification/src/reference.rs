//! Numbers of other programs, to the last bit.

use serde_json::{Number, Value};

/// A JSON text whose floats are written in hexadecimal, as Python's `float.hex`: a decimal may be off in the
/// last digit once read.
pub(crate) fn read(text: &str) -> Value {
    let mut value = serde_json::from_str(text).unwrap();
    convert(&mut value);
    value
}

fn convert(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(convert),
        Value::Object(fields) => fields.values_mut().for_each(convert),
        Value::String(text) => {
            if let Some(number) = hexadecimal(text) {
                *value = Value::Number(Number::from_f64(number).unwrap());
            }
        }
        _ => {}
    }
}

fn hexadecimal(text: &str) -> Option<f64> {
    let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let (mantissa, exponent) = text.strip_prefix("0x")?.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()?;
    let exponent = exponent.parse::<i32>().ok()? - 4 * fraction.len() as i32;
    Some(sign * digits as f64 * 2.0_f64.powi(exponent))
}

#[test]
fn hexadecimal_floats_are_read() {
    for (text, value) in [("0x1.999999999999ap-4", 0.1), ("-0x1.8000000000000p+1", -3.0), ("0x0.0p+0", 0.0)] {
        assert_eq!(hexadecimal(text), Some(value));
    }
    assert_eq!(hexadecimal("0.5"), None);
}
