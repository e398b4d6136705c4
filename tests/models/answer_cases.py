"""Answers as servers send them and models write them, with the titles in them and why the rest is none.

The rows are our own; the forms are those that servers document and that users of other tools met.
"""

import json
from dataclasses import dataclass, field
from typing import Any

THINKING, AFTER, OUTSIDE, HEADING = "thinking", "after the end of the turn", "outside of the list", "a heading"
OPENING, CLOSING, NOTE, PROSE = "words before the list", "words after the list", "a note on a title", "prose"
REFUSAL, NOTHING, CUT = "a refusal", "says that there is none", "cut off"
BEYOND = "beyond the titles asked for"

THREE = ["Heat (1995)", "Casino (1995)", "Fargo (1996)"]
LINES = "\n".join(THREE)
NUMBERED = "\n".join(f"{place}. {title}" for place, title in enumerate(THREE, start=1))
QUOTED = json.dumps(THREE)
RANKED = json.dumps([{"rank": place, "title": title} for place, title in enumerate(THREE, start=1)])


@dataclass
class Case:
    """A body, the titles in it, and the reasons why pieces of it are none, in any order."""

    kind: str
    body: Any
    titles: list[str] = field(default_factory=lambda: list(THREE))
    whys: list[str] = field(default_factory=list)
    cut: bool = False


def chat(content: Any, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A reply of OpenAI's /chat/completions."""
    message = {"role": "assistant", "content": content, **more}
    return {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }


def events(*pieces: str, finish: str = "stop") -> str:
    """A reply as a stream of events."""
    sent = [{"choices": [{"delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
    sent.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    return "".join(f"data: {json.dumps(one)}\n\n" for one in sent) + "data: [DONE]\n\n"


def tool(arguments: Any) -> dict[str, Any]:
    """A reply that calls a tool."""
    return chat(
        None, "tool_calls", tool_calls=[{"type": "function", "function": {"name": "f", "arguments": arguments}}]
    )


OPENAI = [
    Case("openai", chat(LINES)),
    Case("openai", chat(NUMBERED)),
    Case("openai", chat("\n\n".join(THREE) + "\n")),
    Case("openai", chat([{"type": "text", "text": LINES}])),
    Case(
        "openai",
        chat([{"type": "text", "text": "Heat (1995)\nCas"}, {"type": "text", "text": "ino (1995)\nFargo (1996)"}]),
    ),
    Case("openai", chat(THREE)),
    Case("openai", chat({"recommendations": THREE})),
    Case("openai", chat({"type": "text", "text": {"value": LINES}})),
    Case("openai", {"choices": [{"message": {"content": ""}}, {"message": {"content": LINES}}]}),
    Case("openai", tool(json.dumps({"titles": THREE}))),
    Case("openai", tool({"titles": THREE})),
    Case("openai", chat(None, "function_call", function_call={"name": "f", "arguments": json.dumps({"items": THREE})})),
    Case("openai", chat(None, refusal="I can't help with that."), []),
    Case("openai", chat("Heat (1995)\nCasino (1995)\nFargo (1996)\nBraveh", "length"), THREE, [CUT], True),
    Case("openai", chat(LINES + "\n", "length"), THREE, [], True),
    Case("openai", chat(None, "length"), [], [], True),
    Case("openai", chat("", "content_filter"), []),
]
RESPONSES = [
    Case(
        "responses",
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": LINES}]}], "status": "completed"},
    ),
    Case(
        "responses",
        {
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "content": [{"type": "output_text", "text": QUOTED}]},
            ]
        },
    ),
    Case(
        "responses",
        {
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "Heat (1995)\nCas"}]}],
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
        },
        ["Heat (1995)"],
        [CUT],
        True,
    ),
    Case(
        "responses",
        {
            "output": [{"type": "reasoning"}],
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
        },
        [],
        [],
        True,
    ),
    Case(
        "responses",
        {"output": [{"type": "function_call", "arguments": json.dumps({"movies": THREE})}], "status": "completed"},
    ),
]
OLDER = [
    Case("completions", {"choices": [{"text": "\n" + NUMBERED, "finish_reason": "stop"}]}),
    Case("completions", {"choices": [{"text": " Heat (1995)\n2. Casino (1995)\n3. Fargo (1996)"}]}),
    Case(
        "completions",
        {"choices": [{"text": NUMBERED + "\n\nUser: and what else?\nAssistant: 4. Babe"}]},
        THREE,
        [AFTER],
    ),
    Case(
        "completions",
        {"choices": [{"text": LINES + "\n\nA user has chosen these items, oldest first:\n1. Babe"}]},
        THREE,
        [AFTER],
    ),
    Case("llama.cpp", {"content": LINES, "stopped_eos": True, "tokens_predicted": 9}),
    Case("llama.cpp", {"content": "Heat (1995)\nCasi", "stop_type": "limit"}, ["Heat (1995)"], [CUT], True),
    Case("tgi", {"generated_text": NUMBERED}),
    Case("tgi", [{"generated_text": NUMBERED + "</s>"}]),
    Case("tgi", [{"generated_text": "### Response:\n" + NUMBERED}]),
]
OLLAMA = [
    Case(
        "ollama",
        {"model": "m", "message": {"role": "assistant", "content": LINES}, "done": True, "done_reason": "stop"},
    ),
    Case("ollama", {"response": NUMBERED, "done": True}),
    Case(
        "ollama", {"message": {"content": "Heat (1995)\nCasin"}, "done_reason": "length"}, ["Heat (1995)"], [CUT], True
    ),
    Case(
        "ollama", {"message": {"content": "", "thinking": "Heat would be good."}, "done_reason": "length"}, [], [], True
    ),
    Case("ollama", {"message": {"content": QUOTED, "thinking": "I list films."}}),
    Case(
        "ollama",
        "\n".join(
            json.dumps({"message": {"content": piece}, "done": False})
            for piece in ("Heat (1995)\n", "Casino (1995)\nFargo", " (1996)")
        ),
    ),
]
ANTHROPIC = [
    Case("anthropic", {"type": "message", "content": [{"type": "text", "text": LINES}], "stop_reason": "end_turn"}),
    Case(
        "anthropic",
        {"content": [{"type": "thinking", "thinking": "They like\ncrime."}, {"type": "text", "text": NUMBERED}]},
    ),
    Case("anthropic", {"content": [{"type": "tool_use", "input": {"titles": THREE}}], "stop_reason": "tool_use"}),
    Case(
        "anthropic",
        {"content": [{"type": "text", "text": "Heat (1995)\nCasino"}], "stop_reason": "max_tokens"},
        ["Heat (1995)"],
        [CUT],
        True,
    ),
    Case(
        "anthropic", chat("Here are my recommendations based on the viewing history:\n\n" + NUMBERED), THREE, [OPENING]
    ),
    Case(
        "anthropic",
        chat("<thinking>The user likes crime films.\nHeat fits.</thinking>\n<answer>\n" + LINES + "\n</answer>"),
        THREE,
        [THINKING],
    ),
    Case(
        "anthropic",
        chat("I'll list twenty.\n<recommendations>\n" + LINES + "\n</recommendations>\nThese share a mood."),
        THREE,
        [OUTSIDE, OUTSIDE],
    ),
]
GOOGLE = [
    Case(
        "gemini", {"candidates": [{"content": {"parts": [{"text": LINES}], "role": "model"}, "finishReason": "STOP"}]}
    ),
    Case("gemini", {"candidates": [{"content": {"parts": [{"text": "I think.", "thought": True}, {"text": LINES}]}}]}),
    Case(
        "gemini",
        {"candidates": [{"content": {"parts": [{"text": "Heat (1995)\nFar"}]}, "finishReason": "MAX_TOKENS"}]},
        ["Heat (1995)"],
        [CUT],
        True,
    ),
    Case("gemini", {"candidates": [], "promptFeedback": {"blockReason": "SAFETY"}}, []),
    Case("gemini", {"candidates": [{"finishReason": "SAFETY"}]}, []),
    Case("gemini", chat("*   **Heat (1995)**\n*   **Casino (1995)**\n*   **Fargo (1996)**")),
    Case("gemini", chat("```\n" + LINES + "\n```")),
    Case("gemma", chat("<start_of_turn>model\n" + LINES + "<end_of_turn>\n<start_of_turn>user\nMore"), THREE, [AFTER]),
    Case(
        "gemma",
        chat("Okay, here are three titles:\n\n" + NUMBERED + "\n\n**Reasoning:** the user likes crime."),
        THREE,
        [OPENING, NOTE],
    ),
]
DEEPSEEK = [
    Case("deepseek-r1", chat("<think>\nStep one.\nStep two.\n</think>\n\n" + LINES), THREE, [THINKING]),
    Case("deepseek-r1", chat("Step one.\nStep two.\n</think>\n\n" + LINES), THREE, [THINKING]),
    Case("deepseek-r1", chat("<think>\nStep one.\nHeat (1995) is", "length"), [], [THINKING], True),
    Case("deepseek-r1", chat("<think></think>\n" + NUMBERED), THREE, [THINKING]),
    Case("deepseek-r1", chat("<think>a\n<think>b</think>\n" + LINES), THREE, [THINKING]),
    Case("deepseek-r1", chat(LINES, reasoning_content="Step one.\nBabe would fit.")),
    Case("deepseek-r1", chat(None, "length", reasoning_content="Step one.\nBabe would fit."), [], [], True),
    Case("deepseek-r1", chat(None, reasoning_content="Step one.</think>\n" + LINES)),
    Case("deepseek-r1", chat("<think>ok</think><answer>" + QUOTED + "</answer>"), THREE, [THINKING]),
    Case("deepseek", chat("<｜begin▁of▁sentence｜>" + LINES + "<｜end▁of▁sentence｜>")),
]
QWEN = [
    Case("qwen", chat("<think>\n\n</think>\n\n```json\n" + RANKED + "\n```"), THREE, [THINKING]),
    Case("qwen", chat("<|im_start|>assistant\n" + LINES + "<|im_end|>")),
    Case("qwen", chat(LINES + "<|im_end|>\n<|im_start|>user\nThanks"), THREE, [AFTER]),
    Case(
        "qwen",
        chat("以下是为您推荐的电影：\n1. 流浪地球\n2. 红海行动\n3. 让子弹飞"),
        ["流浪地球", "红海行动", "让子弹飞"],
        [OPENING],
    ),
    Case("qwen", chat("1、《流浪地球》\n2、《红海行动》"), ["流浪地球", "红海行动"]),
    Case("qwen", chat("很抱歉，我无法回答这个问题。"), [], [REFUSAL]),
    Case("qwen", {"output": {"choices": [{"message": {"content": LINES}, "finish_reason": "stop"}]}}),
    Case("qwen", {"output": {"text": LINES, "finish_reason": "stop"}}),
    Case("kimi", chat("◁think▷Crime films, then.◁/think▷" + LINES), THREE, [THINKING]),
]
GPT_OSS = [
    Case(
        "gpt-oss",
        chat(
            "<|channel|>analysis<|message|>We need titles.<|end|><|start|>assistant<|channel|>final<|message|>"
            + LINES
            + "<|return|>"
        ),
        THREE,
        [THINKING],
    ),
    Case("gpt-oss", chat("analysisWe need three titles.assistantfinal" + LINES), THREE, [THINKING]),
    Case("gpt-oss", chat("<|channel|>analysis<|message|>We need titles. Heat", "length"), [], [THINKING], True),
    Case("gpt-oss", chat(LINES, reasoning="We need titles.")),
    Case(
        "gpt-oss",
        chat(
            "| # | Title | Why |\n|---|-------|-----|\n| 1 | Heat (1995) "
            "| crime |\n| 2 | Casino (1995) | crime |\n| 3 | Fargo (1996) | snow |"
        ),
    ),
    Case(
        "gpt-oss",
        chat(
            "1. **Heat (1995)** – a duel of two professionals\n2. "
            "**Casino (1995)** – the house wins\n3. **Fargo (1996)** – snow"
        ),
        THREE,
        [NOTE] * 3,
    ),
]
MISTRAL = [
    Case(
        "mistral",
        chat([{"type": "thinking", "thinking": [{"type": "text", "text": "Crime."}]}, {"type": "text", "text": LINES}]),
    ),
    Case("mistral", chat("[THINK]Crime films.\nHeat.[/THINK]" + LINES), THREE, [THINKING]),
    Case("mistral", chat("[THINK]Crime films.\nHeat", "length"), [], [THINKING], True),
    Case(
        "mistral",
        chat(
            "Sure! Based on your history, here are some films:\n\n- Heat "
            "(1995)\n- Casino (1995)\n- Fargo (1996)\n\nEnjoy your evening!"
        ),
        THREE,
        [OPENING, CLOSING],
    ),
    Case("mistral", chat("Voici trois films :\n1. Heat (1995)\n2. Casino (1995)\n3. Fargo (1996)"), THREE, [OPENING]),
    Case("mistral", chat(" " + NUMBERED + "</s>")),
]
LLAMA = [
    Case("llama", chat("<|start_header_id|>assistant<|end_header_id|>\n\n" + LINES + "<|eot_id|>")),
    Case("llama", chat("I'm sorry, but I can't recommend films without more to go by."), [], [REFUSAL]),
    Case("llama", chat("I cannot provide personalized recommendations. Is there anything else?"), [], [REFUSAL]),
    Case(
        "llama",
        chat(
            "I'm sorry, I don't know this user, but here is a try:\n1. Heat (1995)\n2. Casino (1995)\n3. Fargo (1996)"
        ),
        THREE,
        [REFUSAL],
    ),
    Case(
        "llama",
        chat(
            "1. Heat (1995)\n   - Genre: Crime\n   - Reason: a duel\n2. "
            "Casino (1995)\n   - Genre: Crime\n3. Fargo (1996)\n   - Genre: Crime"
        ),
        THREE,
        [NOTE] * 4,
    ),
    Case(
        "llama",
        chat("1. Heat (1995)\nA duel of two professionals.\n2. Casino (1995)\nThe house wins.\n3. Fargo (1996)\nSnow."),
        THREE,
        [NOTE, NOTE, CLOSING],
    ),
    Case(
        "llama",
        chat("**Crime**\n1. Heat (1995)\n2. Casino (1995)\n\n**Snow**\n3. Fargo (1996)"),
        THREE,
        [OPENING, NOTE],
    ),
    Case(
        "llama",
        chat("1) Heat (1995)\n2) Casino (1995)\n3) Fargo (1996)\n\nLet me know if you want more!"),
        THREE,
        [CLOSING],
    ),
    Case("llama", chat("Heat (1995), Casino (1995), Fargo (1996)")),
    Case("llama", chat("1. Heat (1995) 2. Casino (1995) 3. Fargo (1996)")),
    Case(
        "llama",
        chat('Based on this user\'s history, I would suggest "Heat (1995)", "Casino (1995)" and "Fargo (1996)".'),
        THREE,
        [OPENING],
    ),
]
COHERE = [
    Case("cohere", {"message": {"content": [{"type": "text", "text": LINES}]}, "finish_reason": "COMPLETE"}),
    Case(
        "cohere",
        {"message": {"content": [{"type": "text", "text": "Heat (1995)\nCas"}]}, "finish_reason": "MAX_TOKENS"},
        ["Heat (1995)"],
        [CUT],
        True,
    ),
    Case(
        "bedrock",
        {"output": {"message": {"role": "assistant", "content": [{"text": NUMBERED}]}}, "stopReason": "end_turn"},
    ),
    Case(
        "bedrock",
        {
            "output": {"message": {"content": [{"reasoningContent": {"text": "x"}}, {"text": LINES}]}},
            "stopReason": "max_tokens",
        },
        THREE[:2],
        [CUT],
        True,
    ),
]
STREAMS = [
    Case("stream", events("Heat (1995)\nCas", "ino (1995)\n", "Fargo (1996)")),
    Case("stream", events("Heat (1995)\nCas", finish="length"), ["Heat (1995)"], [CUT], True),
    Case("stream", ": ping\n\n" + events(LINES)),
    Case("stream", "\ufeff" + json.dumps(chat(LINES))),
    Case("stream", json.dumps(json.dumps(chat(LINES)))),
]
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
