"""Awkward strings for tokenizers: what goes wrong somewhere, sooner or later. Shared by the tools that write the
fixtures of text/. All are valid Unicode without surrogates, because the reference libraries take nothing else."""

BLANKS = [
    "", " ", "  ", "   ", "     ", " " * 16, " " * 17, " " * 33, "\t", "\t\t\t", "\n", "\n\n", "\n\n\n\n", "\r\n\r\n",
    " \n \n\t \n", "\t \t\n  \t", "hello", " hello", "hello ", "  hello  ", "hello  world   again", "\nhello\n",
    "Hello\tWorld\r\nBye", "a\n\nb", "a \n b", "a\r\rb", "\n a", " \na", "a  \n", "a\t\tb\t", "\r", "x\n\n\n\n\n\n\n\ny",
    "a" + " " * 7 + "b", "\x0b\x0c", "a\x0bb\x0cc", "tab\tend\t", "    indented\n        twice\n\tthrice",
]
WORDS = [
    "It's we'll they've I'm you're he'd don't", "IT'S WE'LL THEY'VE I'M YOU'RE HE'D DON'T",
    "It\u2019s \u2018quoted\u2019 \u201cwords\u201d", "'s 't 're 've 'm 'll 'd 'x", "''s' 'S'T", "o'clock rock'n'roll",
    "can not cannot", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ThisIsCamelCaseAndSHOUTINGandlower", "iPhone XMLHttpRequest eBay McDonald",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis", "x" * 120, "ab" * 60,
    "Once upon a time, there was a little girl named Lily. She said, \"Hello!\"", "snake_case kebab-case dot.case",
    "The quick brown fox jumps over the lazy dog.", "the the the The THE", "un-\nhyphenated", "a", "I", ".", "A.B.C.",
    "walked walking walker walks unwalkable", "sea\u00adweed", "re\u2010sign", "don\u02bct",
]
NUMBERS = [
    "1", "12", "123", "1234", "12345678901234567890", "3.14159e-10 0xDEADBEEF 1,000,000", "007 00000000000000",
    "\u0663\u0664\u0665\u0666 \u0967\u0968\u0969 \u00b2\u00b3\u00b9 \u2163 \u00bd", "1a2b3c", "9" * 40, "1 2 3 4",
    "12:34:56 2024-02-29", "-1 +1 1e9 .5 5.", "\u0661\u0662\u0663\u0664\u0665", "\uff11\uff12\uff13", "1\u00a0000",
    "\U0001d7d8\U0001d7d9 \u2460\u2461", "v1.2.3-rc4", "100%", "\u0be7\u0be8 \u17e1\u17e2", "1\u20442", "10\u00b2\u2075",
]
SIGNS = [
    "!!!???...;;;", "-----=====*****", "foo_bar-baz/qux.c:42", "<<>>[[]](){}", "a.b,c;d:e", "@user #tag $9.99 50% ^_^",
    "if (x <= 10) {\n    return \"y\";\n\t}\n", "https://example.org/a?b=c&d=%20e#f", "\\n \\t \\u0041 \\\\",
    "``quoted''", "a--b---c", "\u2014 \u2013 \u2026 \u00ab\u00bb", "\u00bfqu\u00e9? \u00a1s\u00ed!", "~`|^$+<=>",
    "\u20ac10 \u00a35 \u00a5100", "\u00a9\u00ae\u2122", "\u2200x\u2208\u211d: x\u00b2\u22650", "\u2190\u2191\u2192\u2193",
    "a/b\\c|d", "// comment\n/* more */\n", "#include <stdio.h>\r\n", "{\"k\": [1, null, \"v\"]}", "&amp; &#39; &lt;",
    "\u3010\u3011\u300c\u300d\u3001\u3002", "\u060c\u061b\u061f", "!\n!", "?\n\n?", " .  ,  !", "$$$ \u00a7 \u00b6",
]
EMOJI = [
    "\U0001F600", "\U0001F600\U0001F600 \U0001F680!", "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466",
    "\U0001F44D\U0001F3FD \U0001F1E9\U0001F1EA \u2764\uFE0F 1\uFE0F\u20E3", "\U0001F3F3\uFE0F\u200D\U0001F308",
    "a\U0001F600b", "\u263a \u263a\ufe0f \u263a\ufe0e", "\U0001F9D1\U0001F3FB\u200d\U0001F4BB", "\u200d\u200d",
    "\U0001F1E6\U0001F1E7\U0001F1E8", "#\ufe0f\u20e3*\ufe0f\u20e3", "\U0001F3F4\U000E0067\U000E0062\U000E007F",
]
MARKS = [
    "caf\u00e9 cafe\u0301", "Z\u0351\u036b\u0343\u036a\u0302a\u0363\u034blgo\u0321\u0337",
    "\u1e9e\u00df \ufb01 \u01c4 \u0130i\u0131I", "\uff28\uff45\uff4c\uff4c\uff4f \u2460 \u33a5", "\u0301", " \u0301",
    "e\u0301\u0302\u0303", "\u00c5 \u212b A\u030a", "\u1e69 s\u0323\u0307 s\u0307\u0323", "\u0344", "\u0f73\u0f75",
    "na\u00efve r\u00e9sum\u00e9 \u00fcber", "\u00c0\u00c9\u00ce\u00d5\u00dc", "o\u0308 \u00f6 O\u0308", "\u0958 \u0928\u093c",
    "\ufb00\ufb03\ufb06", "\u01c5 \u1f88 \u1fb3", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u017fs \u212ag", "'\u017f",
]
SCRIPTS = [
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \u304c\u304e",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\U00020000\U0002A6D6 \u9fa5", "\u8c48 \uf900 \u2f00",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0395\u03bb\u03bb\u03ac\u03b4\u03b1", "\u0419\u0439 \u0438\u0306",
    "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645", "\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f",
    "\u05e9\u05dc\u05d5\u05dd \u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\ufefb \ufdfa", "\u0640\u0640\u0640",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u0e01\u0e33\u0e25\u0e31\u0e07 \u0e44\u0e1b",
    "abc\u0434\u0435\u0444\u4e2d\u6587\u0639\u0631\U0001F600123", "\u0915\u094d\u0937\u0924\u094d\u0930\u093f\u092f",
    "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u0d2e\u0d32\u0d2f\u0d3e\u0d33\u0d02", "\u10e5\u10d0\u10e0 \u1ca5", "\u1208\u1230\u120b",
    "\u1780\u17d2\u1798\u17c2\u179a", "\u0f56\u0f7c\u0f51\u0f0b", "\u13a0\u13a1 \uab70", "\U00010400\U00010428", "\u16a0\u16b1",
    "\uff61\uff66\uff9d\uff9e", "\u30ab\u3099 \u30ac", "\u3000\u3042\u3000", "\u4e00\u4e8c\u4e09abc\u56db", "A\u4e2dB\u6587C",
    "d\u00e9j\u00e0 vu \u0142\u00f3d\u017a \u010de\u0161tina \u0111\u1ed3ng", "\u0110\u01b0\u1eddng", "T\u00fcrk\u00e7e \u0131\u0130",
]
SPACES = [
    "\u00a0nbsp\u00a0\u2003em\u3000ideographic\u202fnarrow", "zero\u200bwidth\u200cjoin\u200der\u2060word\ufeffbom",
    "\ufeffbom first", "\u202eright to left\u202c", "line\u2028separator\u2029paragraph\u0085nel\x0bvt\x0cff",
    "\x01\x02\x1b[31mred\x1b[0m\x7f", "\u0080\u009f\u00ad", "\ufffd \ufffe \uffff \ue000 \U0010FFFF", "\u180e\u1680",
    "\u200b", "\u200b\u200b a", "a\u00a0b", "\u00a0", "\u2009\u2002", "\u2060\u2061", "\u206a\u206f", "\x1c\x1d\x1e\x1f",
    "\x07\x08", "\u3164\uffa0", "\u0600\u06dd", "\U000E0001", "\ufff9\ufffb", "a\u2028b", "\u0085", "\u2800", "\u034f",
    "\U0001F468\u200b\U0001F469",
]
SPECIALS = [
    "\u2581", "\u2581\u2581a \u2581b", "a\u2581b", "<s>hello</s>", "<unk> <pad> <0x0A> <0xE2>", "[INST] hi [/INST]",
    "[INST][/INST][TOOL_CALLS] [AVAILABLE_TOOLS]", "[REFERENCE_DOC_1]",
    "see [REFERENCE_DOC_12] and[REFERENCE_DOC_3]s [REFERENCE_DOC_1", "<|start_story|>Once<|end_story|>",
    "a <|end_story|> b<|end_story|>", "<|endoftext|> <|begin_of_text|>", "<|endoftext", "|endoftext|>", "<|endoftext|><|endoftext|>",
    "[CLS] word [SEP]", "[MASK]", "x[MASK]y", "[mask] [Mask]", "<mask>", " <mask> ", "a<mask>b", "<s><s>", "< s >", "<S>",
    "<extra_id_0> <extra_id_1>", "<|im_start|>user\nhi<|im_end|>", "a  <sep>  b", "<sep>", "x<sep>y", "word", "password words",
    "word_ word. (word)", "[UNK]", "##ing", "walk ##ing", "<0x41>", "<0x00", "\u2581<s>", "</s", "<<s>>", "<|a|><|b|>",
    "\u0120a \u010a", "\u0120", "<|reserved_special_token_0|>",
]
NASTY = BLANKS + WORDS + NUMBERS + SIGNS + EMOJI + MARKS + SCRIPTS + SPACES + SPECIALS
WITH_NUL = ["\x00", "a\x00b", " \x00\x00 "]

# What our own small vocabularies are trained on: written for this purpose, a bit of everything above.
OWN_TEXT = [
    "The little lighthouse keeper counted the boats every evening and wrote their names in a blue book.",
    "Yesterday it rained; today the sun is shining, and tomorrow nobody knows what the weather will be.",
    "She said: \"I don't think we'll need more than 12 apples, 3 pears and 1500 grams of flour.\"",
    "They're walking, walked, and will walk again; he's a walker who walks 10 kilometres in 90 minutes.",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))  # 3\n", "for (int i = 0; i < 100; i++) {\n\ttotal += i;\n}\n",
    "Der kleine Leuchtturmw\u00e4rter z\u00e4hlte jeden Abend die Boote und schrieb ihre Namen in ein blaues Buch.",
    "Le gardien du phare a compt\u00e9 les bateaux, puis il a mang\u00e9 une cr\u00eape tr\u00e8s sucr\u00e9e.",
    "El ni\u00f1o peque\u00f1o so\u00f1\u00f3 con un drag\u00f3n. \u00bfQui\u00e9n lo sabe? \u00a1Nadie!",
    "\u041c\u0430\u043b\u0435\u043d\u044c\u043a\u0438\u0439 \u0434\u043e\u043c \u0441\u0442\u043e\u0438\u0442 \u0443 \u043c\u043e\u0440\u044f, \u0438 \u043c\u043e\u0440\u0435 \u0448\u0443\u043c\u0438\u0442 \u0432\u0441\u044e \u043d\u043e\u0447\u044c.",
    "\u5c0f\u706f\u5854\u7684\u770b\u5b88\u4eba\u6bcf\u5929\u665a\u4e0a\u6570\u8239\uff0c\u7136\u540e\u5199\u5728\u84dd\u8272\u7684\u672c\u5b50\u91cc\u3002",
    "\u5c0f\u3055\u306a\u706f\u53f0\u306e\u756a\u4eba\u306f\u6bce\u6669\u3001\u8239\u306e\u6570\u3092\u6570\u3048\u307e\u3057\u305f\u3002",
    "\u0643\u0627\u0646 \u062d\u0627\u0631\u0633 \u0627\u0644\u0645\u0646\u0627\u0631\u0629 \u064a\u0639\u062f \u0627\u0644\u0642\u0648\u0627\u0631\u0628 \u0643\u0644 \u0645\u0633\u0627\u0621.",
    "\u0e04\u0e19\u0e40\u0e1d\u0e49\u0e32\u0e1b\u0e23\u0e30\u0e20\u0e32\u0e04\u0e32\u0e23\u0e19\u0e31\u0e1a\u0e40\u0e23\u0e37\u0e2d\u0e17\u0e38\u0e01\u0e40\u0e22\u0e47\u0e19",
    "\u0926\u0940\u092a\u0938\u094d\u0924\u0902\u092d \u0915\u093e \u0930\u0915\u094d\u0937\u0915 \u0939\u0930 \u0936\u093e\u092e \u0928\u093e\u0935\u0947\u0902 \u0917\u093f\u0928\u0924\u093e \u0925\u093e\u0964",
    "Happy birthday \U0001F389\U0001F382! We love it \u2764\uFE0F\u2764\uFE0F and so does the family \U0001F468\u200D\U0001F469\u200D\U0001F467.",
    "Visit https://example.org/index.html?page=2&sort=name or write to someone@example.org for 50% off ($9.99).",
    "WARNING: DO NOT OPEN THE DOOR! The alarm is loud... very, very loud!!!", "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z 0 1 2 3 4 5 6 7 8 9 10 100 1000 2024 1999 12345",
    "The boats, the book, the evening, the weather: these are the words that come again and again and again.",
    "Nothing is as it was; everything is as it will be, and the keeper of the lighthouse keeps on counting.",
]
