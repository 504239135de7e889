"""What colleagues say when nothing in particular is at stake. Variants mean the same; a seed picks one."""

HELLO = (
    "Hi {asker}! I'm {name}{title}. What can I do for you?",
    "Hello {asker}, this is {name}{title}. How can I help?",
    "Hey {asker}! {name}{title}. What's up?",
)
HELLO_AGAIN = ("Hi again! What can I do for you?", "Hello! How can I help?", "Hey, what's up?")
WELCOME = ("You're welcome!", "No problem!", "Any time!")
EXCUSE = (
    "Sorry, I can't help with that.",
    "Sorry, I don't know anything about that.",
    "I'm afraid I have no information on that.",
)
ASK = (
    "Can you tell me a bit more first? What is it for?",
    "What exactly do you need it for?",
    "Could you give me some more detail first?",
)
REFER = (
    "Best ask {name} (@{username}) about that.",
    "{name} (@{username}) is the one to ask.",
    "Please ask {name} (@{username}).",
)

GREETINGS = ("hello", "hi", "hey", "good morning", "good afternoon", "good evening", "greetings", "howdy")
INTRODUCTIONS = (
    "nice to meet you",
    "pleased to meet you",
    "great to meet you",
    "my name is",
    "introduce myself",
)
THANKS = ("thanks", "thank you", "thx", "many thanks", "much appreciated", "appreciate it", "cheers")
REQUESTS = (
    *(
        "what",
        "where",
        "who",
        "whom",
        "whose",
        "which",
        "when",
        "how",
        "why",
        "please",
        "tell",
        "send",
        "give",
    ),
    *(
        "share",
        "provide",
        "need",
        "want",
        "ask",
        "asking",
        "looking for",
        "explain",
        "describe",
        "let me know",
    ),
)
"""Signs that something is asked for, beside a question mark."""
FILLERS = (
    "is there all team everyone again how are you doing today how's it going hope well i'm i am the a so very much a "
    "lot great perfect got it ok okay understood for your that the this help helping quick response reply "
    "information info answer and have nice good day bye goodbye will do me to"
)
"""Words that say nothing in a greeting or in thanks."""
