//! Burn's terminal dashboard on a run: plots of loss, accuracy and telemetry as they come.

use std::sync::Arc;

use burn::train::{
    Interrupter,
    logger::TrainingProgressLogger,
    metric::{
        MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry,
        SerializedEntry,
    },
    renderer::{MetricState, MetricsRenderer, MetricsRendererTraining, tui::TuiMetricsRendererWrapper},
};

use crate::Event;

/// The dashboard of burn-train, fed by the events of a run. `q` in it asks the run to stop.
pub struct Dashboard {
    renderer: TuiMetricsRendererWrapper,
    interrupter: Interrupter,
    registered: Vec<String>,
    total: usize,
}

impl Default for Dashboard {
    fn default() -> Self {
        let interrupter = Interrupter::new();
        let renderer = TuiMetricsRendererWrapper::new(interrupter.clone(), None);
        Self { renderer, interrupter, registered: Vec::new(), total: 0 }
    }
}

impl Dashboard {
    /// Shows an event.
    pub fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Started(started) => {
                self.total = started.preflight.total;
                self.renderer.start(0, 0, Some(self.total), Some("steps"));
                self.renderer.start_split("train", self.total);
                self.renderer.update_split(started.step);
            }
            Event::Step(line) => {
                self.plot("Loss", line.loss, false, MetricsRendererTraining::update_train);
                self.plot("Gradient norm", line.gradient_norm, false, MetricsRendererTraining::update_train);
                for (name, value) in &line.measures {
                    let higher_is_better = name == "target_cosine";
                    let name = name.replace('_', " ");
                    self.plot(&name, *value, higher_is_better, MetricsRendererTraining::update_train);
                }
                self.plot("Learning rate", line.learning_rate, false, MetricsRendererTraining::update_train);
                self.plot(
                    "Images per second",
                    line.images_per_second,
                    true,
                    MetricsRendererTraining::update_train,
                );
                self.renderer.update_split(line.step);
            }
            Event::Evaluated { name, measured, .. } => {
                if let Some(headline) = measured.outcome.sheet().headline() {
                    let name = format!("{} {name} %", headline.name);
                    self.plot(&name, headline.value * 100.0, true, MetricsRendererTraining::update_valid);
                }
            }
            Event::Skipped(image) => self.renderer.log_event_training(format!("skipped {}", image.name)),
            Event::Evaluating(..) => {}
        }
    }

    /// Whether the reader asked for the run to stop.
    pub fn should_stop(&self) -> bool {
        self.interrupter.should_stop()
    }

    fn plot(
        &mut self,
        name: &str,
        value: f64,
        higher_is_better: bool,
        update: fn(&mut TuiMetricsRendererWrapper, MetricState),
    ) {
        let name_of_metric = Arc::new(name.to_owned());
        let id = MetricId::new(name_of_metric.clone());
        if !self.registered.iter().any(|known| known == name) {
            self.registered.push(name.into());
            self.renderer.register_metric(MetricDefinition {
                metric_id: id.clone(),
                name: name_of_metric,
                description: None,
                attributes: MetricAttributes::Numeric(NumericAttributes { unit: None, higher_is_better }),
            });
        }
        let entry = MetricEntry::new(id, SerializedEntry::new(format!("{value:.4}"), value.to_string()));
        update(&mut self.renderer, MetricState::Numeric(entry, Some(NumericEntry::Value(value))));
    }
}
