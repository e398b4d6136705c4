"""Answers as servers and families of models send them, with the titles in them and why the rest is none."""

import json

from tests.models.answer_bodies import (
    AFTER,
    CLOSING,
    CUT,
    LINES,
    NOTE,
    NUMBERED,
    OPENING,
    OUTSIDE,
    QUOTED,
    RANKED,
    REFUSAL,
    THINKING,
    THREE,
    Case,
    chat,
    events,
    tool,
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
