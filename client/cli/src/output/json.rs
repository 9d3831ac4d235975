//! JSON. Our answers hold nothing that JSON cannot say: no map with keys that are not text, no number that is none.

use serde::Serialize;

const SAYABLE: &str = "answers are made of text, numbers and lists only";

/// As one value on one line, fields in their own order.
pub(super) fn line<T: Serialize + ?Sized>(answer: &T) -> String {
    serde_json::to_string(answer).expect(SAYABLE)
}

/// As one value over many lines, fields in their own order.
pub(super) fn pretty<T: Serialize + ?Sized>(answer: &T) -> String {
    serde_json::to_string_pretty(answer).expect(SAYABLE)
}
