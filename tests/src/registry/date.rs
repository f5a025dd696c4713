//! Dates as HTTP writes them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now and so many seconds, as RFC 9110 5.6.7 writes it.
pub fn http(offset: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    of(i64::try_from(now).unwrap_or(0) + offset)
}

fn of(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    // The civil calendar from days since 1970: Howard Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][days.rem_euclid(7) as usize];
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = names[(month - 1) as usize];
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_those_of_the_calendar() {
        // The example of RFC 9110, the first second, a leap day and a year's last second.
        assert_eq!(super::of(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(super::of(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(super::of(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
        assert_eq!(super::of(1_798_761_599), "Thu, 31 Dec 2026 23:59:59 GMT");
    }
}
