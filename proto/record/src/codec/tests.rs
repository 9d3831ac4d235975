//! Both codecs: sections survive, bombs do not, and memory follows what is really there.

use super::*;

const CODECS: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::Zstd];

/// Bytes that no codec shrinks.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

/// Bytes that shrink to about a quarter.
fn text(count: usize) -> Vec<u8> {
    noise(count).iter().map(|byte| byte & 3).collect()
}

fn stored(codec: Codec, section: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(compress(codec, section, &mut out), "{codec:?} did not shrink the section");
    out
}

#[test]
fn a_section_survives_every_codec() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        for count in [1000, 70_000, EXPANDED_BYTES_MAX] {
            let section = text(count);
            let mut out = Vec::new();
            expand(codec, &stored(codec, &section), count, &mut out).unwrap();
            assert!(out == section, "{codec:?} changed a section of {count} bytes");
        }
    }
}

#[test]
fn what_does_not_shrink_is_left_alone() {
    for codec in CODECS {
        let mut out = vec![7, 7];
        assert!(!compress(codec, &noise(5000), &mut out));
        assert!(!compress(codec, b"", &mut out));
        assert_eq!(out, [7, 7]);
    }
}

#[test]
fn what_shrinks_like_a_bomb_is_left_alone() {
    let zeros = vec![0; EXPANDED_BYTES_MAX];
    for codec in [Codec::Lz4, Codec::Zstd] {
        assert!(!compress(codec, &zeros, &mut Vec::new()), "{codec:?}");
        // Below the floor even zeros are no bomb.
        assert!(compress(codec, &zeros[..EXPANSION_FLOOR_BYTES], &mut Vec::new()), "{codec:?}");
    }
}

#[test]
fn a_bomb_is_refused_before_a_byte_is_allocated() {
    let bomb = zstd::bulk::compress(&vec![0; 8 << 20], 3).unwrap();
    let mut out = Vec::new();
    let ratio = ExpandError::Ratio { stored: bomb.len(), expanded: 8 << 20 };
    assert_eq!(expand(Codec::Zstd, &bomb, 8 << 20, &mut out), Err(ratio));
    assert_eq!(
        expand(Codec::Zstd, &bomb, usize::MAX, &mut out),
        Err(ExpandError::TooLarge { expanded: usize::MAX })
    );
    assert_eq!(out.capacity(), 0);
}

#[test]
fn a_bomb_that_states_less_is_refused_at_what_it_states() {
    let zeros = vec![0; 8 << 20];
    let bombs = [
        (Codec::Lz4, lz4_flex::block::compress(&zeros)),
        (Codec::Zstd, zstd::bulk::compress(&zeros, 3).unwrap()),
    ];
    for (codec, bomb) in bombs {
        let mut out = Vec::new();
        let outcome = expand(codec, &bomb, 50_000, &mut out);
        assert_eq!(outcome, Err(ExpandError::MoreThanStated { stated: 50_000 }), "{codec:?}");
        assert!(out.capacity() <= 50_000, "{codec:?} allocated {}", out.capacity());
        assert!(out.is_empty());
    }
}

#[test]
fn a_section_that_holds_less_than_stated_is_refused() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        let (section, mut out) = (text(2000), Vec::new());
        let bytes = stored(codec, &section);
        let less = ExpandError::LessThanStated { expanded: 2000, stated: 2001 };
        assert_eq!(expand(codec, &bytes, 2001, &mut out), Err(less), "{codec:?}");
        assert_eq!(expand(codec, &bytes, 1999, &mut out), Err(ExpandError::MoreThanStated { stated: 1999 }));
    }
}

#[test]
fn zstd_output_grows_only_as_it_is_written() {
    // A megabyte that states eight: room for the rest is never reserved.
    let section = text(1 << 20);
    let mut out = Vec::new();
    assert!(expand(Codec::Zstd, &stored(Codec::Zstd, &section), 8 << 20, &mut out).is_err());
    assert!(out.capacity() <= 2 * section.len(), "{} bytes reserved", out.capacity());
}

#[test]
fn a_buffer_used_again_neither_grows_nor_leaks_what_it_held() {
    let (large, small) = (text(100_000), text(3000));
    for codec in [Codec::Lz4, Codec::Zstd] {
        let mut out = Vec::new();
        expand(codec, &stored(codec, &large), large.len(), &mut out).unwrap();
        let capacity = out.capacity();
        expand(codec, &stored(codec, &small), small.len(), &mut out).unwrap();
        assert_eq!((out.capacity(), &out), (capacity, &small), "{codec:?}");
        // Stated less than there is, with room for all of it.
        let outcome = expand(codec, &stored(codec, &large), 3000, &mut out);
        assert_eq!(outcome, Err(ExpandError::MoreThanStated { stated: 3000 }), "{codec:?}");
    }
}

#[test]
fn a_cut_section_is_refused_at_every_length() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        let section = text(600);
        let bytes = stored(codec, &section);
        for cut in 0..bytes.len() {
            assert!(
                expand(codec, &bytes[..cut], section.len(), &mut Vec::new()).is_err(),
                "{codec:?} cut to {cut}"
            );
        }
    }
}

#[test]
fn zstd_takes_one_frame_and_nothing_behind_it() {
    let section = text(600);
    let mut bytes = stored(Codec::Zstd, &section);
    let frame = bytes.clone();
    bytes.push(0);
    assert_eq!(
        expand(Codec::Zstd, &bytes, section.len(), &mut Vec::new()),
        Err(ExpandError::Trailing { count: 1 })
    );
    let twice = [frame.clone(), frame].concat();
    assert!(expand(Codec::Zstd, &twice, 2 * section.len(), &mut Vec::new()).is_err());
}

#[test]
fn zstd_refuses_a_window_beyond_the_formats() {
    use std::io::Write;

    use zstd::stream::raw::CParameter;

    let section = text(200_000);
    let frame = |window_log: u32| {
        // Streamed, so that the frame states its window rather than its size.
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_parameter(CParameter::WindowLog(window_log)).unwrap();
        encoder.write_all(&section).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(expand(Codec::Zstd, &frame(23), section.len(), &mut Vec::new()), Ok(()));
    let refused = expand(Codec::Zstd, &frame(24), section.len(), &mut Vec::new());
    assert!(matches!(refused, Err(ExpandError::Malformed { codec: Codec::Zstd, .. })), "{refused:?}");
}

#[test]
fn codec_none_keeps_the_size() {
    let mut out = Vec::new();
    assert_eq!(expand(Codec::None, b"abc", 3, &mut out), Ok(()));
    assert_eq!(out, b"abc");
    assert!(expand(Codec::None, b"abc", 2, &mut out).is_err());
    assert!(expand(Codec::None, b"abc", 4, &mut out).is_err());
}

#[test]
fn a_codecs_number_is_its_own() {
    for codec in CODECS {
        assert_eq!(Codec::from_id(codec.id()), Some(codec));
    }
    assert!((3..=u16::MAX).all(|id| Codec::from_id(id).is_none()));
}
