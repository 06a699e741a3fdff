//! Areas that steering records may name, and the countries of ISO 3166-1.

/// Named sets that ship with the program.
pub const SHIPPED_AREAS: [&str; 2] = ["eea", "eu27"];

/// Codes of ISO 3166-1, and `xk`, which databases use for Kosovo, by their continent as GeoNames has it.
const CONTINENTS: [(&str, &str); 7] = [
    (
        "af",
        "ao bf bi bj bw cd cf cg ci cm cv dj dz eg eh er et ga gh gm gn gq gw ke km lr ls ly ma mg ml mr mu \
         mw mz na ne ng re rw sc sd sh sl sn so ss st sz td tg tn tz ug yt za zm zw",
    ),
    ("an", "aq bv gs hm tf"),
    (
        "as",
        "ae af am az bd bh bn bt cc cn cx ge hk id il in io iq ir jo jp kg kh kp kr kw kz la lb lk mm mn mo \
         mv my np om ph pk ps qa sa sg sy th tj tm tr tw uz vn ye",
    ),
    (
        "eu",
        "ad al at ax ba be bg by ch cy cz de dk ee es fi fo fr gb gg gi gr hr hu ie im is it je li lt lu lv \
         mc md me mk mt nl no pl pt ro rs ru se si sj sk sm ua va xk",
    ),
    (
        "na",
        "ag ai aw bb bl bm bq bs bz ca cr cu cw dm do gd gl gp gt hn ht jm kn ky lc mf mq ms mx ni pa pm pr \
         sv sx tc tt us vc vg vi",
    ),
    ("oc", "as au ck fj fm gu ki mh mp nc nf nr nu nz pf pg pn pw sb tk tl to tv um vu wf ws"),
    ("sa", "ar bo br cl co ec fk gf gy pe py sr uy ve"),
];

/// All countries' codes, with their continents.
pub fn countries() -> impl Iterator<Item = (&'static str, &'static str)> {
    CONTINENTS.iter().flat_map(|(continent, codes)| codes.split_ascii_whitespace().map(move |code| (code, *continent)))
}

pub fn is_country(code: &str) -> bool {
    code.len() == 2 && countries().any(|(country, _)| country == code)
}

pub fn is_continent(code: &str) -> bool {
    CONTINENTS.iter().any(|(continent, _)| *continent == code)
}

/// The country that `country-CODE` names.
pub fn country(code: &str) -> Result<&str, String> {
    if is_country(code) { Ok(code) } else { Err(format!("`{code}` is no country's code (ISO 3166-1, lower case)")) }
}

/// The continent that `continent-CODE` names.
pub fn continent(code: &str) -> Result<&str, String> {
    let known = || CONTINENTS.map(|(continent, _)| continent).join(", ");
    if is_continent(code) { Ok(code) } else { Err(format!("`{code}` is no continent: known are {}", known())) }
}

/// Checks the name of an area: a named set, `country-de`, `continent-eu`.
pub(super) fn check(area: &str, sets: &[String]) -> Result<(), String> {
    if let Some(code) = area.strip_prefix("country-") {
        return country(code).map(|_| ());
    }
    if let Some(code) = area.strip_prefix("continent-") {
        return continent(code).map(|_| ());
    }
    if SHIPPED_AREAS.contains(&area) || sets.iter().any(|set| set == area) {
        return Ok(());
    }
    let mut known: Vec<&str> = SHIPPED_AREAS.into_iter().chain(sets.iter().map(String::as_str)).collect();
    known.dedup();
    let others = if sets.is_empty() { " (the configuration names no other sets)" } else { "" };
    Err(format!("`{area}` is no area: expected {}, country-CODE or continent-CODE{others}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::home::EU_MEMBERS;

    #[test]
    fn countries_and_continents() {
        let mut codes: Vec<_> = countries().map(|(code, _)| code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!((codes.len(), countries().count()), (250, 250), "each stands on one continent");
        assert!(EU_MEMBERS.iter().all(|member| is_country(member)));
        for area in ["eea", "eu27", "country-de", "continent-eu", "mine"] {
            assert_eq!(check(area, &["mine".to_owned()]), Ok(()), "{area}");
        }
        for area in ["", "de", "country-DE", "country-uk", "continent-de", "other"] {
            assert!(check(area, &[]).is_err(), "{area}");
        }
    }
}
