"""Word pools from which task packages draw names.

Every word is a lower-case ASCII word of 3 to 8 letters, no word is in two pools, and none is a keyword
of SQL or of the shell, so each can name a file, a table, a column or a branch without quotes. A small
tokenizer makes each word one token; instances number thousands by combining words, not by inventing them.
"""

FIRST_NAMES = (
    "alice", "amir", "anna", "boris", "carla", "chen", "clara", "daniel", "diego", "elena", "emma", "felix",
    "fiona", "george", "hana", "hugo", "irene", "ivan", "james", "julia", "kofi", "laura", "leon", "linda",
    "marco", "maria", "mei", "nadia", "nina", "omar", "oscar", "paula", "peter", "priya", "rosa", "samuel",
    "sofia", "thomas", "vera", "yusuf",
)  # fmt: skip

FAMILY_NAMES = (
    "adams", "baker", "bauer", "bell", "carter", "costa", "cruz", "davis", "dubois", "evans", "fischer",
    "garcia", "gupta", "hansen", "hughes", "ito", "jensen", "kaya", "khan", "kim", "kowal", "larsen", "lopez",
    "meyer", "moreau", "murphy", "novak", "okafor", "patel", "perez", "rossi", "sato", "silva", "singh",
    "tanaka", "weber", "wong", "zhang",
)  # fmt: skip

PRODUCTS = (
    "basket", "blanket", "bottle", "candle", "carpet", "chair", "clock", "curtain", "desk", "drill", "fan",
    "guitar", "hammer", "helmet", "jacket", "kettle", "ladder", "lamp", "mirror", "mixer", "monitor", "oven",
    "pillow", "printer", "radio", "saddle", "scanner", "scooter", "shelf", "sofa", "speaker", "tent",
    "toaster", "wallet",
)  # fmt: skip

DEPARTMENTS = (
    "audit", "billing", "catering", "claims", "data", "delivery", "design", "field", "finance", "growth",
    "legal", "loans", "media", "office", "payroll", "planning", "press", "quality", "repair", "research",
    "retail", "sales", "security", "support", "training", "transit",
)  # fmt: skip

CITIES = (
    "athens", "austin", "basel", "bergen", "boston", "cairo", "cork", "dakar", "delhi", "denver", "dublin",
    "geneva", "hanoi", "kyoto", "lagos", "lima", "lisbon", "london", "madrid", "milan", "mumbai", "nairobi",
    "oslo", "ottawa", "paris", "porto", "prague", "quito", "riga", "seoul", "sydney", "tampa", "turin",
    "vienna", "warsaw", "zurich",
)  # fmt: skip

TOPICS = (
    "agenda", "award", "budget", "career", "client", "contract", "course", "invoice", "lease", "letter",
    "license", "meeting", "memo", "menu", "minutes", "notice", "outing", "parking", "permit", "picnic",
    "policy", "poster", "receipt", "recipe", "resume", "roster", "safety", "salary", "schedule", "seminar",
    "shipment", "survey", "ticket", "travel", "visa", "workshop",
)  # fmt: skip

CODENAMES = (
    "badger", "beaver", "bison", "cedar", "comet", "condor", "coral", "crane", "dolphin", "eagle", "falcon",
    "ferret", "gecko", "heron", "ibis", "jaguar", "koala", "lemur", "lynx", "maple", "marten", "otter", "owl",
    "panda", "pelican", "puffin", "raven", "salmon", "sparrow", "stork", "tiger", "toucan", "walrus",
    "willow", "wolf", "zebra",
)  # fmt: skip

SYSTEMS = (
    "archive", "backup", "broker", "cache", "cluster", "console", "crawler", "database", "exporter",
    "firewall", "gateway", "indexer", "kernel", "loader", "mailer", "parser", "planner", "portal", "proxy",
    "queue", "router", "sensor", "storage", "switch", "tracker", "worker",
)  # fmt: skip

FIGURES = (
    "asked", "bonus", "booked", "cost", "coverage", "fluency", "granted", "gross", "margin", "net", "paid",
    "recall", "speed", "taken", "weight",
)  # fmt: skip
"""What columns of figures are called."""

GROUPINGS = ("brand", "city", "product", "seller")
"""What figures are grouped by."""

FUNCTIONS = ("avg", "max", "min")
"""SQL's functions over a column."""

POOLS = {
    "FIRST_NAMES": FIRST_NAMES,
    "FAMILY_NAMES": FAMILY_NAMES,
    "PRODUCTS": PRODUCTS,
    "DEPARTMENTS": DEPARTMENTS,
    "CITIES": CITIES,
    "TOPICS": TOPICS,
    "CODENAMES": CODENAMES,
    "SYSTEMS": SYSTEMS,
    "FIGURES": FIGURES,
    "GROUPINGS": GROUPINGS,
    "FUNCTIONS": FUNCTIONS,
}
