//! One record: its bytes, its limits, and that no other bytes mean the same.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn encoded<'a>(
    timestamp_delta_ms: i64,
    offset_delta: u64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [HeaderRef<'a>],
) -> Vec<u8> {
    // Unchecked on purpose: some tests write headers that a reader must refuse.
    let header_sums = HeaderSums { count: headers.len(), bytes: header_bytes(headers.iter().copied()) };
    let headers = headers.iter().copied();
    let record = RecordLayout { timestamp_delta_ms, offset_delta, key, value, headers, header_sums };
    let mut section = Vec::new();
    record.put(&mut section);
    assert_eq!(section.len(), record.encoded_bytes(), "the size foretold is the size written");
    section
}

fn refused(section: &[u8]) -> RecordError {
    RecordLayout::take(&mut &*section).map(|_| ()).unwrap_err()
}

proptest! {
    #[test]
    fn a_record_survives_and_no_part_of_it_does(
        timestamp_delta_ms: i64,
        offset_delta: u64,
        key in option::of(vec(any::<u8>(), 0..40)),
        value in option::of(vec(any::<u8>(), 0..300)),
        values in vec(option::of(vec(any::<u8>(), 0..20)), 0..6),
    ) {
        let names: Vec<String> = (0..values.len()).map(|index| format!("name-{index}")).collect();
        let headers: Vec<_> = names.iter().zip(&values)
            .map(|(name, value)| HeaderRef { name, value: value.as_deref() }).collect();
        let section = encoded(timestamp_delta_ms, offset_delta, key.as_deref(), value.as_deref(), &headers);

        let mut rest = section.as_slice();
        let record = RecordLayout::take(&mut rest).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!((record.timestamp_delta_ms, record.offset_delta), (timestamp_delta_ms, offset_delta));
        prop_assert_eq!((record.key, record.value), (key.as_deref(), value.as_deref()));
        prop_assert_eq!(record.headers.collect::<Vec<_>>(), headers);
        for cut in 0..section.len() {
            prop_assert!(RecordLayout::take(&mut &section[..cut]).is_err(), "cut to {} of {}", cut, section.len());
        }
    }

    #[test]
    fn bytes_that_read_as_a_record_are_its_only_encoding(bytes in vec(0u8..12, 0..40)) {
        let mut rest = bytes.as_slice();
        if let Ok(record) = RecordLayout::take(&mut rest) {
            let mut again = Vec::new();
            record.put(&mut again);
            prop_assert_eq!(again, &bytes[..bytes.len() - rest.len()]);
        }
    }
}

#[test]
fn a_record_lies_as_the_layout_says() {
    let headers = [HeaderRef { name: "h", value: None }, HeaderRef { name: "i", value: Some(b"") }];
    let section = encoded(-1, 5, Some(b"k"), None, &headers);
    assert_eq!(section, [13, 0, 1, 5, 2, b'k', 0, 2, 1, b'h', 0, 1, b'i', 1]);
    assert_eq!(encoded(0, 0, None, None, &[]), [6, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn each_fault_is_refused_by_name() {
    assert_eq!(refused(&[]), RecordError::Varint(VarintError::Truncated));
    assert_eq!(refused(&[9, 0]), RecordError::Truncated { part: "record", bytes: 9, available: 1 });
    assert!(matches!(refused(&[0]), RecordError::Truncated { part: "record's attributes", .. }));
    assert_eq!(refused(&[6, 1, 0, 0, 0, 0, 0]), RecordError::Attributes { found: 1 });
    assert_eq!(refused(&[7, 0, 0, 0, 0, 0, 0, 9]), RecordError::Trailing { count: 1 });
    assert_eq!(refused(&[7, 0, 0, 0, 0x80, 0, 0, 0]), RecordError::Varint(VarintError::Overlong));
    assert_eq!(
        refused(&[6, 0, 0, 0, 0, 9, 0]),
        RecordError::Truncated { part: "value", bytes: 8, available: 1 }
    );
    assert_eq!(refused(&[6, 0, 0, 0, 0, 0, 65]), RecordError::HeaderCount { count: 65 });
    assert_eq!(refused(&[8, 0, 0, 0, 0, 0, 1, 0, 0]), RecordError::HeaderNameEmpty { index: 0 });
    assert_eq!(refused(&[9, 0, 0, 0, 0, 0, 1, 1, 0xff, 0]), RecordError::HeaderNameText { index: 0 });
}

#[test]
fn a_length_of_all_64_bits_is_refused_without_overflow() {
    let mut section = Vec::new();
    varint::put(&mut section, u64::MAX);
    assert!(matches!(refused(&section), RecordError::Truncated { bytes: u64::MAX, .. }));
    let mut key = vec![0, 0, 0];
    varint::put(&mut key, u64::MAX);
    let mut section = vec![u8::try_from(key.len()).unwrap()];
    section.extend(key);
    assert!(matches!(refused(&section), RecordError::Truncated { part: "key", .. }));
}

#[test]
fn header_limits_hold_exactly() {
    let names: Vec<String> = (0..=HEADER_COUNT_MAX).map(|index| format!("{index}")).collect();
    let headers: Vec<_> = names.iter().map(|name| HeaderRef { name, value: None }).collect();
    let most = encoded(0, 0, None, None, &headers[..HEADER_COUNT_MAX]);
    assert!(RecordLayout::take(&mut most.as_slice()).is_ok());
    let more = RecordError::HeaderCount { count: HEADER_COUNT_MAX as u64 + 1 };
    assert_eq!(refused(&encoded(0, 0, None, None, &headers)), more);

    let value = vec![0; HEADER_BYTES_MAX];
    let header = |bytes: usize| [HeaderRef { name: "n", value: Some(&value[..bytes]) }];
    let largest = encoded(0, 0, None, None, &header(HEADER_BYTES_MAX - 1)).clone();
    assert!(RecordLayout::take(&mut largest.as_slice()).is_ok());
    let larger = RecordError::HeaderBytes { bytes: HEADER_BYTES_MAX + 1 };
    assert_eq!(refused(&encoded(0, 0, None, None, &header(HEADER_BYTES_MAX))), larger);
}

#[test]
fn a_repeated_header_name_is_refused_and_shown_short() {
    let name = "ü".repeat(1000);
    let headers = ["a", &name, "b", &name].map(|name| HeaderRef { name, value: None });
    let repeated = RecordError::HeaderRepeated { name: "ü".repeat(NAME_SHOWN_CHARS) };
    assert_eq!(refused(&encoded(0, 0, None, None, &headers)), repeated);
    assert_eq!(check_headers(headers.into_iter()), Err(repeated));
}
