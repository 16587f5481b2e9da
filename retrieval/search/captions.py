"""Everyday captions, as realistic text queries to test an index with."""

CAPTIONS = (
    "a dog running on the beach", "a cat asleep on a sofa", "a red bird on a branch", "two horses in a meadow",
    "a cow looking into the camera", "fish in an aquarium", "a butterfly on a flower", "a spider in its web",
    "children playing football", "a woman with an umbrella in the rain", "a man riding a bicycle",
    "a birthday cake with candles", "a wedding couple dancing", "grandparents on a bench", "a baby laughing",
    "a group photo at a party", "people waiting at a station", "someone reading a book", "a crowd at a concert",
    "sunset over the sea", "a snowy mountain", "fog between trees", "a waterfall in a forest", "a field of sunflowers",
    "a lake with reflections", "a night sky full of stars", "lightning over a city", "an autumn park with red leaves",
    "a desert with dunes", "a rainbow after the rain", "a lighthouse on a cliff", "a narrow old street",
    "a bridge across a river", "the skyline at night", "a church from inside", "a castle on a hill",
    "a market with fruit and vegetables", "an empty road", "a red car", "an old steam train", "an airplane in the sky",
    "a sailing boat", "a motorcycle in a garage", "a bus in heavy traffic", "a pizza on a plate", "a cup of coffee",
    "a bowl of salad", "ice cream in summer", "a table set for dinner", "a glass of wine", "a living room with a piano",
    "a messy desk with a computer", "a kitchen", "a page of handwriting", "a receipt", "a screenshot of a map",
    "a black and white portrait", "a painting in a museum", "graffiti on a wall", "toys on the floor",
    "a tent in the mountains", "skiers on a slope", "a close-up of an eye", "something blurred",
)  # fmt: skip
"""64 texts of 1 to 8 words over what photo collections hold: animals, people, places, weather, things, papers."""
