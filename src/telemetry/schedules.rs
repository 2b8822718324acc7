//! The names of the metrics of recurring messages.

use super::Metrics;

impl Metrics {
    pub(super) fn register_schedules(&mut self) {
        let r = &mut self.registry;
        let help = "Ticks that this node put into their queue";
        r.register("schedule_fired", help, self.schedule_fired.clone());
        let help = "Ticks that were left out, as catch_up has it";
        r.register("schedule_missed", help, self.schedule_missed.clone());
        let help = "Tries to put a tick into its queue that failed";
        r.register("schedule_errors", help, self.schedule_errors.clone());
        let help = "How long the oldest tick that is not in its queue has been due";
        r.register("schedule_lag_seconds", help, self.schedule_lag.clone());
        let help = "When the last tick fired, in Unix time";
        r.register("schedule_last_fired_seconds", help, self.schedule_last_fired.clone());
        r.register("schedule_paused", "Whether it is paused", self.schedule_paused.clone());
    }
}
