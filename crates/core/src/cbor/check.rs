//! One linear pass over a whole input, before anything is read from it.

use super::Error;

/// The head of one data item.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) major: u8,
    pub(super) value: u64,
    /// Offset of the byte after the head.
    pub(super) end: usize,
}

/// Reads the head at `at` and refuses every form that the profile excludes.
pub(super) fn head(input: &[u8], at: usize) -> Result<Head, Error> {
    let first = *input.get(at).ok_or(Error::Truncated { at })?;
    let (major, info) = (first >> 5, first & 0x1f);
    let after = at.saturating_add(1);
    let extra: usize = match info {
        0..=23 => 0,
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return Err(Error::Excluded { at }),
    };
    if major == 7 && !matches!(info, 20..=22) {
        return Err(Error::Excluded { at });
    }
    let end = after.saturating_add(extra);
    let argument = input
        .get(after..end)
        .ok_or(Error::Truncated { at: input.len() })?;
    let value = if extra == 0 {
        u64::from(info)
    } else {
        argument
            .iter()
            .fold(0u64, |value, &byte| (value << 8) | u64::from(byte))
    };
    let least = match extra {
        0 => 0,
        1 => 24,
        2 => 0x100,
        4 => 0x1_0000,
        _ => 0x1_0000_0000,
    };
    if value < least {
        return Err(Error::NotShortest { at });
    }
    Ok(Head { major, value, end })
}

/// The end of the string whose head ends at `start`.
pub(super) fn string_end(input: &[u8], start: usize, len: u64) -> Result<usize, Error> {
    usize::try_from(len)
        .ok()
        .and_then(|len| start.checked_add(len))
        .filter(|&end| end <= input.len())
        .ok_or(Error::Truncated { at: input.len() })
}

/// An open container: how many items it still takes, and, for a map, its last key.
struct Frame {
    left: u64,
    map: bool,
    last_key: Option<(usize, usize)>,
}

/// Checks that `input` is exactly one item in deterministic form, nested at most `depth` deep.
pub(super) fn document(input: &[u8], depth: usize) -> Result<(), Error> {
    let mut stack: Vec<Frame> = Vec::new();
    let mut at = 0;
    loop {
        let start = at;
        let head = head(input, at)?;
        at = head.end;
        let is_key = stack
            .last()
            .is_some_and(|frame| frame.map && frame.left.is_multiple_of(2));
        match head.major {
            0 | 1 | 7 => {}
            2 | 3 => {
                at = string_end(input, at, head.value)?;
                let text = input.get(head.end..at).unwrap_or_default();
                if head.major == 3 && core::str::from_utf8(text).is_err() {
                    return Err(Error::NotUtf8 { at: start });
                }
            }
            6 if is_key => return Err(Error::Excluded { at: start }),
            6 => continue, // the tagged item follows and counts for both
            _ if is_key => return Err(Error::Excluded { at: start }),
            major => {
                if stack.len() >= depth {
                    return Err(Error::TooDeep { at: start });
                }
                let map = major == 5;
                let left = if map {
                    head.value.checked_mul(2)
                } else {
                    Some(head.value)
                };
                // An item takes at least one byte, so a larger count cannot be met.
                let room = u64::try_from(input.len().saturating_sub(at)).unwrap_or(u64::MAX);
                let left = left
                    .filter(|&left| left <= room)
                    .ok_or(Error::Truncated { at: input.len() })?;
                stack.push(Frame {
                    left,
                    map,
                    last_key: None,
                });
                if left > 0 {
                    continue;
                }
                stack.pop();
            }
        }
        if is_key && let Some(frame) = stack.last_mut() {
            let key = input.get(start..at);
            if let Some((from, to)) = frame.last_key
                && input.get(from..to) >= key
            {
                return Err(Error::KeyOrder { at: start });
            }
            frame.last_key = Some((start, at));
        }
        // The item is complete; so may be the containers around it.
        loop {
            let Some(frame) = stack.last_mut() else {
                return if at == input.len() {
                    Ok(())
                } else {
                    Err(Error::Trailing { at })
                };
            };
            frame.left = frame.left.saturating_sub(1);
            if frame.left > 0 {
                break;
            }
            stack.pop();
        }
    }
}
