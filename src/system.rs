//! The operating system.
/// Coarse wall clock.
pub fn coarse_wall_millis() -> i64 {
    0
}
/// Coarse monotonic clock.
pub fn coarse_monotonic_millis() -> i64 {
    0
}
