"""Answers as servers send them and models write them, with the titles in them and why the rest is none.

The rows are our own; the forms are those that servers document and that users of other tools met.
"""

import json
from typing import Any

from tests.models.answer_bodies import (
    BEYOND,
    CLOSING,
    CUT,
    HEADING,
    LINES,
    NOTE,
    NOTHING,
    NUMBERED,
    OPENING,
    OUTSIDE,
    QUOTED,
    RANKED,
    THINKING,
    THREE,
    Case,
    chat,
)
from tests.models.answer_servers import (
    ANTHROPIC,
    COHERE,
    DEEPSEEK,
    GOOGLE,
    GPT_OSS,
    LLAMA,
    MISTRAL,
    OLDER,
    OLLAMA,
    OPENAI,
    QWEN,
    RESPONSES,
    STREAMS,
)

FORMS = [
    Case("forms", chat(QUOTED)),
    Case("forms", chat("```json\n" + json.dumps(json.loads(RANKED), indent=2) + "\n```")),
    Case(
        "forms",
        chat("Sure, here is the JSON you asked for:\n```json\n" + QUOTED + "\n```\nTell me if you need more."),
        THREE,
        [OUTSIDE, OUTSIDE],
    ),
    Case("forms", chat("Here you go: " + QUOTED), THREE, [OUTSIDE]),
    Case(
        "forms",
        chat(json.dumps({"user": 7, "recommendations": [{"item": {"title": title, "year": 1}} for title in THREE]})),
    ),
    Case("forms", chat(json.dumps({str(place): title for place, title in enumerate(THREE, start=1)}))),
    Case("forms", chat(json.dumps(dict.fromkeys(THREE, 0.5)))),
    Case("forms", chat(json.dumps([[title, 0.5] for title in THREE]))),
    Case(
        "forms",
        chat(json.dumps([{"title": title, "rank": 3 - place} for place, title in enumerate(THREE)])),
        THREE[::-1],
    ),
    Case("forms", chat("\n".join(json.dumps({"title": title}) for title in THREE))),
    Case("forms", chat('["Heat (1995)", "Casino (1995)", "Fargo (1996)",]')),
    Case("forms", chat("['Heat (1995)', \"Casino (1995)\", 'Fargo (1996)']")),
    Case("forms", chat('```json\n["Heat (1995)", "Casino (1995)", "Far', "length"), THREE[:2], [CUT], True),
    Case("forms", chat('[{"rank": 1, "title": "Heat (1995)"}, {"rank": 2, "tit', "length"), THREE[:1], [CUT], True),
    Case("forms", chat(json.dumps({"answer": NUMBERED}))),
    Case("forms", chat(json.dumps([f"{place}. {title}" for place, title in enumerate(THREE, start=1)]))),
    Case("forms", chat("[]"), []),
    Case("forms", chat('{"recommendations": []}'), []),
    Case("forms", chat("None"), [], [NOTHING]),
    Case(
        "forms",
        chat('rank,title,year\n1,Heat (1995),1995\n2,"Casino (1995)",1995\n3,Fargo (1996),1996'),
        THREE,
        [HEADING],
    ),
    Case("forms", chat("<ol><li>Heat (1995)</li><li>Casino (1995)</li><li><b>Fargo (1996)</b></li></ol>")),
    Case(
        "forms",
        chat("- title: Heat (1995)\n  year: 1995\n- title: Casino (1995)\n  year: 1995"),
        THREE[:2],
        [NOTE, NOTE],
    ),
    Case(
        "forms",
        chat("Title: Heat (1995)\nReason: crime\n\nTitle: Casino (1995)\nReason: crime"),
        THREE[:2],
        [NOTE, NOTE],
    ),
    Case("forms", chat("~~~text\n" + NUMBERED + "\n~~~")),
]
LISTS = [
    Case("lists", chat("1️⃣ Heat (1995)\n2️⃣ Casino (1995)\n3️⃣ Fargo (1996)")),
    Case("lists", chat("① Heat (1995)\n② Casino (1995)\n③ Fargo (1996)")),
    Case("lists", chat("#1: Heat (1995)\n#2: Casino (1995)\n#3: Fargo (1996)")),
    Case("lists", chat("(1) Heat (1995)\n(2) Casino (1995)\n(3) Fargo (1996)")),
    Case("lists", chat("[1] Heat (1995)\n[2] Casino (1995)\n[3] Fargo (1996)")),
    Case("lists", chat("1 - Heat (1995)\n2 - Casino (1995)\n3 - Fargo (1996)")),
    Case("lists", chat("1 Heat (1995)\n2 Casino (1995)\n3 Fargo (1996)")),
    Case("lists", chat("1\tHeat (1995)\n2\tCasino (1995)\n3\tFargo (1996)")),
    Case("lists", chat("a) Heat (1995)\nb) Casino (1995)\nc) Fargo (1996)")),
    Case("lists", chat("I. Heat (1995)\nII. Casino (1995)\nIII. Fargo (1996)")),
    Case("lists", chat("1. Heat (1995)\n1. Casino (1995)\n1. Fargo (1996)")),
    Case("lists", chat("21. Heat (1995)\n22. Casino (1995)\n23. Fargo (1996)")),
    Case("lists", chat("3. Fargo (1996)\n2. Casino (1995)\n1. Heat (1995)")),
    Case("lists", chat("**1. Heat (1995)**\n**2. Casino (1995)**\n**3. Fargo (1996)**")),
    Case("lists", chat("1.\nHeat (1995)\n2.\nCasino (1995)\n3.\nFargo (1996)")),
    Case(
        "lists",
        chat("## Recommendations\n\n- [ ] Heat (1995)\n- [ ] Casino (1995)\n- [ ] Fargo (1996)"),
        THREE,
        [OPENING],
    ),
    Case("lists", chat("• Heat (1995)\n• Casino (1995)\n• Fargo (1996)")),
    Case("lists", chat('"Heat (1995)",\n"Casino (1995)",\n"Fargo (1996)"')),
    Case("lists", chat("`Heat (1995)`\n`Casino (1995)`\n`Fargo (1996)`")),
    Case("lists", chat("“Heat (1995)”\n«Casino (1995)»\n'Fargo (1996)'")),
    Case(
        "lists", chat("1. [Heat (1995)](http://a.example/1)\n2. [Casino (1995)](http://a.example/2)\n3. Fargo (1996)")
    ),
    Case("lists", chat("1. Heat (1995) (score: 0.93)\n2. Casino (1995) (score: 0.91)\n3. Fargo (1996) (score: 0.6)")),
    Case(
        "lists",
        chat("Heat by Michael Mann\nCasino by Martin Scorsese\nFargo by Joel Coen"),
        ["Heat", "Casino", "Fargo"],
        [NOTE] * 3,
    ),
    Case(
        "lists",
        chat("1. Heat: two men who live for their work meet.\n2. Casino: how the house wins and the mob loses."),
        ["Heat", "Casino"],
        [NOTE] * 2,
    ),
    Case("lists", chat("Heat (1995)\r\nCasino (1995)\r\nFargo (1996)\r\n")),
    Case(
        "lists",
        chat(LINES + "\n" + "\n".join(f"Film {place}" for place in range(18))),
        THREE + [f"Film {place}" for place in range(17)],
        [BEYOND],
    ),
    Case("lists", chat("---\n" + NUMBERED + "\n---")),
]
MORE = [
    Case("more", chat("Okay.\n\n" + LINES), THREE, [OPENING]),
    Case("more", chat("1. Heat | Crime\n2. Casino | Crime\n3. Fargo | Snow"), ["Heat", "Casino", "Fargo"], [NOTE] * 3),
    Case("more", chat("Heat (1995)|Casino (1995)|Fargo (1996)")),
    Case("more", chat("1. *Heat (1995)* - a duel\n2. *Casino (1995)* - a house\n3. *Fargo (1996)*"), THREE, [NOTE] * 2),
    Case("more", chat("- **Title:** Heat (1995)\n- **Title:** Casino (1995)\n- **Title:** Fargo (1996)")),
    Case(
        "more",
        chat("好的，推荐如下：\n1. 《英雄》\n2. 《无间道》\n\n希望您喜欢！"),
        ["英雄", "无间道"],
        [OPENING, CLOSING],
    ),
    Case("more", chat("・もののけ姫\n・天空の城ラピュタ"), ["もののけ姫", "天空の城ラピュタ"]),
    Case("more", chat("1. Heat — crime, 1995\n2. Casino — crime, 1995"), ["Heat", "Casino"], [NOTE] * 2),
    Case("more", chat("🥇 Heat (1995)\n🥈 Casino (1995)\n🥉 Fargo (1996)")),
    Case("more", chat(NUMBERED + "\n...\n20. Babe"), [*THREE, "Babe"], [NOTE]),
    Case("more", chat(json.dumps({"recommendations": ", ".join(THREE)}))),
    Case("more", chat("Item 12: Heat (1995)\nItem 40: Casino (1995)\nItem 7: Fargo (1996)")),
    Case("more", chat("No recommendations available."), [], [NOTHING]),
    Case("more", chat("Thinking: they like crime.\n\nFinal answer:\n" + NUMBERED), THREE, [THINKING]),
]
TITLES = [
    Case("titles", chat("24: The Movie\n300: Rise of an Empire"), ["24: The Movie", "300: Rise of an Empire"]),
    Case("titles", chat("1. 24: The Movie\n2. 12 Monkeys\n3. 1917"), ["24: The Movie", "12 Monkeys", "1917"]),
    Case(
        "titles",
        chat("12 Angry Men\n2001: A Space Odyssey\n3:10 to Yuma\n(500) Days of Summer\n[REC]\n8½\n300"),
        ["12 Angry Men", "2001: A Space Odyssey", "3:10 to Yuma", "(500) Days of Summer", "[REC]", "8½", "300"],
    ),
    Case("titles", chat("÷\n+\n25"), ["÷", "+", "25"]),
    Case("titles", chat("C++ in a Day\nC# in a Day\nC in a Day"), ["C++ in a Day", "C# in a Day", "C in a Day"]),
    Case("titles", chat("दिल\nदाल\nदूल"), ["दिल", "दाल", "दूल"]),
    Case(
        "titles",
        chat(
            "OPI Nail Lacquer, Simmer and Shimmer, 0.5-Fluid "
            "Ounce\nFreeman Facial Polish Mask 6 oz.\nDiary Mask - Caviar (10 Pcs)"
        ),
        [
            "OPI Nail Lacquer, Simmer and Shimmer, 0.5-Fluid Ounce",
            "Freeman Facial Polish Mask 6 oz.",
            "Diary Mask - Caviar (10 Pcs)",
        ],
    ),
    Case(
        "titles",
        chat("American President, The (1995)\nPostman, The (Postino, Il) (1994)"),
        ["American President, The (1995)", "Postman, The (Postino, Il) (1994)"],
    ),
    Case(
        "titles",
        chat("Stand by Me\nStar Wars: Episode IV - A New Hope (1977)\nHeat"),
        ["Stand by Me", "Star Wars: Episode IV - A New Hope (1977)", "Heat"],
    ),
]
CASES = [
    *OPENAI,
    *RESPONSES,
    *OLDER,
    *OLLAMA,
    *ANTHROPIC,
    *GOOGLE,
    *DEEPSEEK,
    *QWEN,
    *GPT_OSS,
    *MISTRAL,
    *LLAMA,
    *COHERE,
]
CASES += [*STREAMS, *FORMS, *LISTS, *MORE, *TITLES]

ERRORS: list[tuple[Any, int | None, str]] = [
    ({"error": {"message": "Provider returned error", "code": 429}}, 429, "Provider returned error"),
    ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429, "slow down"),
    ({"error": {"message": "down", "type": "server_error"}}, 500, "down"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 500, "Overloaded"),
    ({"object": "error", "message": "no such model", "type": "NotFoundError", "code": 404}, 404, "no such model"),
    ({"error": "model 'm' not found"}, None, "model 'm' not found"),
    (
        {"choices": [{"error": {"code": 502, "message": "upstream died"}, "finish_reason": "error"}]},
        502,
        "upstream died",
    ),
    ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, 429, "rate limit"),
    ({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}, 503, "busy"),
    ({"detail": "Not authenticated"}, None, "Not authenticated"),
    ({"success": False, "message": "no credit", "code": 402}, 402, "no credit"),
    ('data: {"error": {"message": "lost", "code": 500}}\n\n', 500, "lost"),
]
"""(body of status 200, status that says it best, words in it)"""
NO_REPLIES = [
    b"",
    b"<html>login</html>",
    b"[]",
    b"3",
    b"NaN",
    b'"text"',
    b"{}",
    b'{"usage": {}}',
    b"[" * 100_000,
    b"\xff\xfe\x00",
]
"""what is in the form of no answer"""
