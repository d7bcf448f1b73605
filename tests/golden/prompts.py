"""The prompts that golden data is made with.

Special tokens in a text are special tokens; ``empty`` is the BOS token alone.
"""

from __future__ import annotations


def logbook(days: int) -> str:
    """A lighthouse keeper's log of some days: prose that almost repeats itself (about 54 tokens a day)."""
    winds = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
    visitors = (
        "a fishing boat",
        "two cormorants",
        "the supply launch",
        "nobody at all",
        "a grey seal",
        "the inspector",
    )
    tasks = ("trimmed the wick", "polished the lens", "painted the rail", "wound the clock", "mended the net")
    entries = [
        f"Day {day}. The wind came from the {winds[day * 5 % 8]} at {7 + day * 11 % 23} knots and the barometer "
        f"stood at {987 + day * 7 % 41}. I {tasks[day * 3 % 5]} before noon. In the evening {visitors[day * 7 % 6]} "
        f"came by, and the lamp burned {day * 13 % 9 + 4} litres of oil."
        for day in range(1, days + 1)
    ]
    return "The keeper's log of the lighthouse at Cape Serrat.\n\n" + "\n".join(entries) + f"\nDay {days + 1}. The wind"


CHINESE = "请用简单的语言解释什么是量子计算机，以及它和普通计算机有什么不同。🤔\n\n"  # noqa: RUF001


def chat(*turns: tuple[str, str]) -> str:
    """ChatML, as SmolLM2 and Qwen2.5 are trained on, up to the assistant's turn."""
    rendered = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    return rendered + "<|im_start|>assistant\n"


SMOLLM2 = {
    "capital": "The capital of France is",
    "story": "Once upon a time, in a village at the foot of a mountain, there lived a clockmaker who",
    "explanation": "Photosynthesis is the process by which plants turn light into chemical energy. In simple terms,",
    "portuguese": "A cidade de Lisboa fica na foz do rio Tejo e é conhecida por",
    "portuguese_question": "Pergunta: Por que é que o céu é azul durante o dia?\nResposta:",
    "python": 'def fibonacci(n: int) -> int:\n    """Return the n-th Fibonacci number."""\n',
    "c": "#include <stdio.h>\n\nint main(void) {\n    for (int i = 0; i < 10; i++) {\n",
    "json": '{\n  "name": "engine",\n  "version": "0.1.0",\n  "scripts": {\n    "build": "cmake --build .",\n',
    "emoji": "I love 🍕 and 🎉! Yesterday we went to the 🏖️ with the 👨‍👩‍👧‍👦 and",
    "empty": "",
    "unicode": "Ελληνικά, русский язык, 中文字符, العربية, עברית, ∑ x² ≤ ∞ — naïve café “quotes” ½",
    "digits": "3.14159 26535 89793 23846 26433 83279 50288; 2, 3, 5, 7, 11, 13, 17, 19,",
    "chat": chat(
        ("system", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
        ("user", "What is the difference between a process and a thread? Answer in two sentences."),
    ),
    "chat_portuguese": chat(
        ("system", "Responde sempre em português."),
        ("user", "Olá! Qual é a capital do Brasil?"),
        ("assistant", "A capital do Brasil é Brasília."),
        ("user", "E a de Portugal? 😀"),
    ),
    "one_letter": "Q",
    "log_300": logbook(5),
    "log_3000": logbook(54),
}

QWEN2_CHAT = (
    ("system", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    ("user", "Write a Python function that reverses the words of a sentence."),
)

QWEN2 = {
    "python": SMOLLM2["python"],
    "cpp": "// Returns the index of the first element not less than key.\ntemplate <typename T>\nsize_t lower_bound(",
    "english": SMOLLM2["explanation"],
    "portuguese": SMOLLM2["portuguese_question"],
    "unicode": SMOLLM2["unicode"] + " " + SMOLLM2["emoji"],
    "chinese": CHINESE,
    "chat": chat(*QWEN2_CHAT),
    "empty": "",
    "log_600": logbook(10),
}

STORIES = {
    "story": "Once upon a time, there was a little girl named Lily. She",
    "dog": "Tom had a big red ball. One day, his dog Spot",
    "dialogue": '"Can I have a cookie?" asked Ben. His mom smiled and said,',
    "digits": "One, two, three, 4, 5,",
    "unicode": "The café was naïve 😀 и",
    "empty": "",
    "long_story": "The sun was warm. " * 8 + "Anna and her brother went to the park to play. They saw",
}

GEMMA3 = {
    "explanation": SMOLLM2["explanation"],
    "python": SMOLLM2["python"],
    "portuguese": SMOLLM2["portuguese_question"],
    "unicode": SMOLLM2["unicode"] + " " + SMOLLM2["emoji"],
    "chinese": CHINESE,
    "chat": "<start_of_turn>user\nWhat is the capital of Portugal?<end_of_turn>\n<start_of_turn>model\n",
    "empty": "",
    "log_1200": logbook(20),
}
