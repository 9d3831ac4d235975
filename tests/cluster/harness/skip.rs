//! A test that needs something this machine lacks says so in one line, or fails where everything is required.

/// Tells that `test` is skipped for lack of `what`. Always true, so that it reads `if … && lacks(…) { return }`.
///
/// # Panics
/// With `FIDELOG_TESTS_REQUIRED=1`.
pub(crate) fn lacks(test: &str, what: &str) -> bool {
    let required = std::env::var_os("FIDELOG_TESTS_REQUIRED").is_some_and(|value| value == "1");
    assert!(!required, "{test} needs {what}, and FIDELOG_TESTS_REQUIRED=1 allows no skipping");
    println!("skipped: {test} needs {what}");
    true
}
