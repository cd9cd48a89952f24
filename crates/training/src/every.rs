//! How often something happens: every so many steps, or epochs.

use facegrad_settings::{KeyPath, Range, Schema, Setting, SettingsError, toml::Value};

/// An interval in steps or epochs: `500`, or `"2 epochs"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Every {
    /// Optimizer steps.
    Steps(usize),
    /// Passes over the training data.
    Epochs(f64),
}

impl Every {
    /// The interval in steps, for epochs of `steps_per_epoch` steps.
    pub fn steps(self, steps_per_epoch: usize) -> usize {
        match self {
            Self::Steps(steps) => steps.max(1),
            Self::Epochs(epochs) => ((epochs * steps_per_epoch as f64).round() as usize).max(1),
        }
    }
}

impl Setting for Every {
    fn read_within(value: &Value, at: &KeyPath, range: &Range) -> Result<Self, SettingsError> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
        let found = match value {
            Value::Integer(_) => usize::read(value, at).map(Self::Steps).ok(),
            Value::String(text) => {
                let epochs = text.trim_end_matches('s').strip_suffix("epoch").and_then(number);
                epochs.map(Self::Epochs)
            }
            _ => None,
        };
        let every = found.ok_or_else(|| {
            SettingsError::wrong_type(at, value, "a whole number of steps, or epochs as in \"2 epochs\"")
        })?;
        let number = match every {
            Self::Steps(steps) => steps as f64,
            Self::Epochs(epochs) => epochs,
        };
        range.check(number, at)?;
        Ok(every)
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::Steps(steps) => steps.write(),
            Self::Epochs(epochs) => Some(Value::String(format!("{epochs} epochs"))),
        }
    }

    fn schema() -> Schema {
        Schema::Value("number of steps | \"N epochs\"".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_epochs_read_write_and_count() {
        let at = "run.evaluate_every".into();
        let read = |value: Value| Every::read(&value, &at);
        for (value, every, steps) in [
            (Value::Integer(30), Every::Steps(30), 30),
            (Value::String("2 epochs".into()), Every::Epochs(2.0), 200),
            (Value::String("0.5 epoch".into()), Every::Epochs(0.5), 50),
        ] {
            assert_eq!(read(value).unwrap(), every);
            assert_eq!(read(every.write().unwrap()).unwrap(), every);
            assert_eq!(every.steps(100), steps);
        }
        for wrong in [Value::Integer(-3), Value::Float(1.5), Value::String("2 days".into())] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(
                error.ends_with("it must be a whole number of steps, or epochs as in \"2 epochs\""),
                "{error}"
            );
        }
    }
}
