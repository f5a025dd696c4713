//! Times as RFC 3339 writes them: `2026-11-23T06:41:36Z`.

/// The moment `seconds` after 1970, UTC, with seconds.
pub fn utc(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days to the civil calendar, counted in eras of 400 years that begin in March (Hinnant).
    let days = days.saturating_add(719_468);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era.saturating_add(era.saturating_mul(400)) + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The seconds after 1970 that a text in UTC names, such as `2026-11-23T06:41:36Z`; fractions of a second are cut.
pub fn parse_utc(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').map_or((time, None), |(time, fraction)| (time, Some(fraction)));
    if fraction.is_some_and(|digits| digits.is_empty() || digits.len() > 9 || !is_digits(digits)) {
        return None;
    }
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if year < 1970 || !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let shifted_year = if month > 2 { year } else { year.checked_sub(1)? };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = (era * 146_097 + of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    // A day that its month does not have comes out as another one.
    let whole = text.get(..19)?;
    (utc(seconds).get(..19)? == whole).then_some(seconds)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == width && is_digits(part))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for seconds in [0, 951_782_399, 951_782_400, 951_868_800, 1_709_208_000, 1_795_415_964, 4_107_542_400] {
            assert_eq!(parse_utc(&utc(seconds)), Some(seconds));
        }
        assert_eq!(parse_utc("2021-01-12T11:53:27.123456789Z"), Some(1_610_452_407));
        for bad in [
            "",
            "Z",
            "2021-01-12",
            "2021-01-12T11:53:27",
            "2021-01-12T11:53:27+00:00",
            "2021-02-29T11:53:27Z",
            "2021-13-12T11:53:27Z",
            "2021-00-12T11:53:27Z",
            "2021-01-00T11:53:27Z",
            "2021-01-12T24:00:00Z",
            "2021-01-12T11:53:60Z",
            "2021-1-12T11:53:27Z",
            "+021-01-12T11:53:27Z",
            "1969-12-31T23:59:59Z",
            "2021-01-12T11:53:27.Z",
            "2021-01-12t11:53:27z",
            "2021-01-12T11:53:27ZZ",
            "2021-01-12-1T11:53:27Z",
        ] {
            assert_eq!(parse_utc(bad), None, "{bad}");
        }
    }

    #[test]
    fn writes_what_date_writes() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_208_000, "2024-02-29T12:00:00Z"),
            (1_795_415_964, "2026-11-23T06:39:24Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
