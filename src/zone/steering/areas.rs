//! Areas that steering records may name, and the countries of ISO 3166-1.

/// Named sets that ship with the program.
pub const SHIPPED_AREAS: [&str; 2] = ["eea", "eu27"];

/// Codes of ISO 3166-1, and `xk`, which databases use for Kosovo.
const COUNTRIES: &str = "ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw by bz \
    ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi fj fk fm fo fr ga gb gd ge gf gg gh \
    gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb \
    lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om \
    pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf tg \
    th tj tk tl tm tn to tr tt tv tw tz ua ug um us uy uz va vc ve vg vi vn vu wf ws xk ye yt za zm zw";

const CONTINENTS: [&str; 7] = ["af", "an", "as", "eu", "na", "oc", "sa"];

pub(super) fn is_country(code: &str) -> bool {
    code.len() == 2 && COUNTRIES.split_ascii_whitespace().any(|country| country == code)
}

/// Checks the name of an area: a named set, `country-de`, `continent-eu`.
pub(super) fn check(area: &str, sets: &[String]) -> Result<(), String> {
    if let Some(code) = area.strip_prefix("country-") {
        return if is_country(code) {
            Ok(())
        } else {
            Err(format!("`{code}` is no country's code (ISO 3166-1, lower case)"))
        };
    }
    if let Some(code) = area.strip_prefix("continent-") {
        let known = CONTINENTS.contains(&code);
        return if known {
            Ok(())
        } else {
            Err(format!("`{code}` is no continent: known are {}", CONTINENTS.join(", ")))
        };
    }
    if SHIPPED_AREAS.contains(&area) || sets.iter().any(|set| set == area) {
        return Ok(());
    }
    let mut known: Vec<&str> = SHIPPED_AREAS.into_iter().chain(sets.iter().map(String::as_str)).collect();
    known.dedup();
    Err(format!("`{area}` is no area: expected {}, country-CODE or continent-CODE", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steer::home::EU_MEMBERS;

    #[test]
    fn countries_and_continents() {
        assert_eq!(COUNTRIES.split_ascii_whitespace().count(), 250);
        assert!(EU_MEMBERS.iter().all(|member| is_country(member)));
        for area in ["eea", "eu27", "country-de", "continent-eu", "mine"] {
            assert_eq!(check(area, &["mine".to_owned()]), Ok(()), "{area}");
        }
        for area in ["", "de", "country-DE", "country-uk", "continent-de", "other"] {
            assert!(check(area, &[]).is_err(), "{area}");
        }
    }
}
