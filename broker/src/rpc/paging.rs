//! Pages of a list that is kept in the order of its names.
//!
//! Always true: going through all pages shows everything that was there all the time, once; what comes and goes
//! meanwhile may or may not show.

use super::status::Failure;

const PAGE_SIZE_DEFAULT: usize = 100;
const PAGE_SIZE_MAX: usize = 1000;

/// How many to show for a wish.
///
/// # Errors
/// When it is more than allowed.
pub(super) fn page_size(asked: u32) -> Result<usize, Failure> {
    match usize::try_from(asked).unwrap_or(usize::MAX) {
        0 => Ok(PAGE_SIZE_DEFAULT),
        size if size <= PAGE_SIZE_MAX => Ok(size),
        size => Err(Failure::invalid(
            "page_size",
            format!("page_size is {size}; at most {PAGE_SIZE_MAX} are allowed"),
        )),
    }
}

/// The page behind the name in `token`, and the token of the next page: empty at the end.
pub(super) fn page<T>(
    mut items: Vec<T>,
    name: impl Fn(&T) -> &str,
    token: &str,
    size: usize,
) -> (Vec<T>, String) {
    items.sort_by(|a, b| name(a).cmp(name(b)));
    let first = items.partition_point(|item| !token.is_empty() && name(item) <= token);
    items.drain(..first);
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|last| name(last).to_owned());
    (items, next.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_goes_on_where_the_last_ended() {
        let all = ["d", "a", "c", "e", "b"];
        for size in 1..7 {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let (page, next) = page(all.to_vec(), |name| name, &token, size);
                assert!(page.len() <= size);
                seen.extend(page);
                if next.is_empty() {
                    break;
                }
                token = next;
            }
            assert_eq!(seen, ["a", "b", "c", "d", "e"], "pages of {size}");
        }
    }

    #[test]
    fn a_name_that_went_meanwhile_loses_no_other() {
        let (page, _) = page(vec!["a", "c"], |name| name, "b", 10);
        assert_eq!(page, ["c"]);
    }

    #[test]
    fn sizes_are_held_to_their_bounds() {
        assert_eq!((page_size(0), page_size(1000)), (Ok(100), Ok(1000)));
        assert!(page_size(1001).is_err());
    }
}
