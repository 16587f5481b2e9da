"""The vocabulary of search phrases: words used for pictures in addition to the name of a thing. Tables only."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    """One entry between bars; without bars one word each, in which a hyphen stands for a space."""
    if "|" in text:
        return tuple(" ".join(part.split()) for part in text.split("|"))
    return tuple(word.replace("-", " ") for word in text.split())


COLOURS = _words("""
    red orange yellow green blue purple pink brown black white grey gray golden silver beige turquoise violet cyan
    magenta crimson navy teal maroon
""")
SHADES = _words("bright dark light pale deep")
MATERIALS = _words("""
    wooden metal plastic glass stone leather paper cardboard brick concrete marble steel iron copper golden silver
    ceramic porcelain rubber cotton woollen silk velvet denim straw bamboo clay ice sand snow chocolate
""")
MADE_OF = _words("""
    wood metal plastic glass stone leather paper cardboard brick concrete marble steel iron copper gold silver
    porcelain rubber cotton wool silk straw bamboo clay ice sand snow chocolate lego
""")
QUALITIES = _words("""
    small little tiny big large huge giant old young new vintage antique modern wet dry dirty clean empty full open
    closed broken beautiful ugly cute funny happy sad angry scared tired sleeping fluffy furry hairy striped spotted
    fresh rotten cooked raw fried grilled frozen sliced cut wild tame tropical snowy sunny rainy foggy cloudy stormy
    ancient medieval futuristic famous crowded quiet abandoned ruined rusty shiny colourful colorful
    transparent round
    square triangular long short tall thick thin fat slim narrow wide steep deep shallow flat curved sharp soft hot
    cold burning blooming flowering ripe blonde bearded bald smiling crying wooden homemade traditional
    parked flying swimming running jumping standing sitting lying blurry floating hanging stacked folded painted
    decorated illuminated handwritten
""")
STYLES = _words("""
    a drawing of {a}|drawing of {a}|{n} drawing|a pencil drawing of {a}|a sketch of {a}|{n} sketch|
    a painting of {a}|
    an oil painting of {a}|watercolour of {a}|a watercolor painting of {a}|{n} painting|a cartoon of {a}|
    cartoon {n}|
    a black and white photo of {a}|black and white {n}|a monochrome photo of {a}|a sepia photo of {a}|
    an old photo of {a}|a vintage photograph of {a}|a screenshot of {a}|screenshot with {a}|a close-up of {a}|
    a close-up photo of {a}|{n} close up|macro photo of {a}|a blurry photo of {a}|a dark photo of {a}|
    a bright photo of {a}|a cropped photo of {a}|a low resolution photo of {a}|an aerial view of {a}|
    {n} from above|{n} seen from the side|back view of {a}|the silhouette of {a}|a portrait of {a}|
    a sculpture of {a}|
    a statue of {a}|a toy {n}|a plush {n}|a plastic toy {n}|an origami {n}|an embroidered {n}|a tattoo of {a}|
    graffiti of {a}|a sign with {a}|an icon of {a}|{n} icon|a logo with {a}|{n} logo|{n} emoji|an emoji of {a}|
    clip art of {a}|clipart {n}|a sticker of {a}|a rendering of {a}|a 3d model of {a}|pixel art of {a}|
    a map of {a}|a diagram of {a}|a chart of {p}|a poster of {a}|a postcard with {a}|a stamp with {a}|
    a mosaic of {a}|
    stained glass with {a}|a shadow of {a}|a reflection of {a}|a collage of {p}|an infrared photo of {a}|
    a night photo of {a}|a long exposure photo of {a}|a selfie with {a}|a children's drawing of {a}|a comic of {a}|
    a document about {p}|an x-ray of {a}|a scan of {a}|a meme with {a}|a photo of a picture of {a}
""")
PROMPTS = _words("""
    {n}|{a}|{p}|the {n}|a photo of {a}.|a photo of {a}|a photo of the {n}|a photo of {p}|photo of {a}|
    a picture of {a}|
    picture of {p}|an image of {a}|image of {a}|a good photo of {a}|a nice photo of {a}|a photo of a large {n}|
    a photo of a small {n}|a photo of one {n}|a photo of my {n}|my {n}|a photo of many {p}|a close-up photo of {a}.|
    pictures of {p}|photos of {p}|all photos with {a}|{n} photo|{n} pictures|{n} image|this is {a}|there is {a}|
    there are {p}|show me {p}|show me {a}|find {p}|find pictures of {a}|where is the {n}?|where is my {n}|
    something like {a}|some {p}|our {n}|a type of {n}|a kind of {n}
""")
COUNTS = _words("""
    one {n}|two {p}|three {p}|four {p}|five {p}|six {p}|ten {p}|2 {p}|3 {p}|4 {p}|5 {p}|a dozen {p}|
    several {p}|many {p}|
    a few {p}|a lot of {p}|lots of {p}|a group of {p}|a pair of {p}|a row of {p}|a pile of {p}|a stack of {p}|
    a bunch of {p}|a herd of {p}|a crowd of {p}|a single {n}|only one {n}|exactly two {p}|more than one {n}|
    hundreds of {p}|a collection of {p}|a box of {p}|a bowl of {p}|a basket full of {p}|both {p}|the first {n}
""")
NEGATIONS = _words("""
    no {p}|without {p}|no {n}|not {a}|a photo without {p}|a picture with no {p}|{m} without {a}|{m} without {p}|
    {m} but no {n}|{m} with no {p}|{m} and no {p}|{m}, not {a}|not a photo of {a}|there are no {p}|
    anything but {p}|{m} that is not {a}|{m} instead of {a}|everything except {p}|a room without {p}|
    a street without {p}|an empty {n}|nobody near the {n}|{n} without people|{n} with nobody in it
""")
RELATIONS = _words("""
    {m} and {n}|{a} and {ma}|{ma} with {a}|{ma} on {a}|{ma} next to {a}|{ma} in front of {a}|{ma} behind {a}|
    {ma} under {a}|{ma} above {a}|{ma} inside {a}|{ma} near {a}|{m} in {a}|{m} {n}|{n} {m}|{ma} between two {p}|
    {ma} beside some {p}|{p} and {mp}|{p} with {mp}|{ma} or {a}|{ma} to the left of {a}|{ma} to the right of {a}|
    {ma} leaning against {a}|{ma} covered with {p}|{ma} full of {p}|the {n} of {ma}|{ma} made of {p}|{m} on the {n}
""")
PLACES = _words("""
    in the snow|on a beach|on the beach|at the beach|in the water|under water|underwater|in the sky|at night|
    at sunset|
    at sunrise|in the rain|in the garden|on a table|on the table|in the kitchen|in the bathroom|in the bedroom|
    in the living room|in an office|on the street|in the city|in the forest|in the woods|in the mountains|
    by the sea|
    on a lake|by the river|in a field|on grass|on the lawn|in a room|on a sofa|on the bed|in a tree|on a branch|
    on the road|in front of a house|on a white background|on a black background|on a plate|in a bowl|in a basket|
    in a box|in a cage|in a vase|in someone's hand|at the zoo|in a museum|at a party|at a wedding|at a concert|
    at a market|in a supermarket|in a shop|in a restaurant|in a park|in a stadium|in a church|in a library|
    at school|
    in a classroom|in a hospital|at the airport|at the station|in a train|in a car|on a plane|on a boat|on a ship|
    in the harbour|behind a fence|in the desert|on the wall|on the floor|on the roof|on a shelf|in a cupboard|
    on a bridge|in a cave|in a factory|on a farm|in a barn|from above|from below|from the side|from behind|
    seen up close|from far away|in the background|in the foreground|in the dark|in the fog|in the sunshine|
    in the shade|
    in winter|in summer|in autumn|in spring|at christmas|at home|outdoors|outside|indoors|inside|in the air|
    in front of a mirror|in Paris|in London|in New York|in Africa|in Japan|in Italy|on a sunny day|during a storm|
    in the jungle|in the swimming pool|in the morning|in the evening|on a hill|under a tree|on ice
""")
SCENES = _words("""
    beach|sunset|sunrise|mountains|mountain landscape|forest|waterfall|river|lake|sea|ocean|waves|desert|sand dunes|
    island|coast|cliff|valley|canyon|glacier|volcano|field|meadow|vineyard|garden|park|playground|street|alley|
    city skyline|skyscrapers|downtown|village|town square|old town|market|harbour|pier|lighthouse|bridge|highway|
    traffic jam|train station|airport|subway|parking lot|gas station|construction site|factory|warehouse|office|
    classroom|library|museum|theatre|stadium|gym|swimming pool|church interior|cathedral|castle|ruins|temple|mosque|
    cemetery|hospital|restaurant|bar|cafe|kitchen|living room|bedroom|bathroom|hallway|staircase|attic|
    basement|garage|
    balcony|terrace|backyard|barn|farm|night sky|stars|milky way|full moon|northern lights|rainbow|lightning|storm|
    clouds|fog|snow|rain|snowy landscape|autumn leaves|spring blossoms|fireworks|campfire|concert|wedding|
    birthday party|christmas|halloween|easter|graduation|picnic|barbecue|parade|demonstration|carnival|dance|
    football game|
    race|hiking trip|camping|road trip|family dinner|breakfast|a crowd|a group photo|a family portrait|
    an empty street|
    a crowded beach|landscape|cityscape|seascape|still life|indoor scene|outdoor scene|nature|architecture|interior|
    aerial view|panorama|text|document|receipt|invoice|letter|handwriting|page of a book|newspaper|whiteboard|
    presentation slide|screenshot|computer screen|source code|spreadsheet|table of numbers|bar chart|
    pie chart|line chart|
    diagram|blueprint|map|city map|menu|ticket|business card|passport|barcode|qr code|calendar|poster|sheet music|
    logo|icon|pattern|texture|abstract art|painting|drawing|sculpture|graffiti|tattoo|selfie|portrait|food|
    dessert|drinks
""")
WEATHER = _words("sunny cloudy rainy snowy foggy stormy windy dark bright misty colourful empty crowded quiet green")
SUBJECTS = _words("""
    man|woman|boy|girl|child|kid|baby|toddler|old man|old woman|person|couple|family|friends|people|men|women|
    children|
    players|tourists|students|dancers|musician|singer|chef|cook|doctor|nurse|teacher|farmer|worker|soldier|
    policeman|
    firefighter|bride|groom|skier|surfer|cyclist|runner|climber|fisherman|cowboy|astronaut|clown|ballerina|
    grandmother|
    father|mother|dog|puppy|cat|kitten|horse|cow|sheep|goat|bird|duck|elephant|lion|tiger|bear|monkey|giraffe|
    rabbit|
    squirrel|fish|butterfly|bee|dolphin|penguin|seagull|fox|deer|pig|two dogs|two people|a group of people|
    football player|basketball player|tennis player|motorcyclist|someone|my son|my daughter|my dog|my cat
""")
ACTIONS = _words("""
    running|walking|jumping|sitting|standing|lying down|sleeping|eating|drinking|playing|smiling|laughing|crying|
    dancing|singing|swimming|diving|surfing|skiing|snowboarding|skating|skateboarding|cycling|climbing|hiking|
    fishing|
    hunting|flying|falling|waving|pointing|clapping|hugging|kissing|fighting|boxing|working|reading|writing|drawing|
    painting|cooking|baking|cleaning|shopping|talking|shouting|whispering|listening|watching tv|waiting|
    looking away|
    looking at the camera|posing|yawning|stretching|rolling|digging|barking|grazing|hanging upside down|
    doing a handstand|doing yoga|meditating|praying|driving|riding|sailing|rowing|playing football|playing tennis|
    playing the guitar|playing the piano|playing chess|playing cards|playing video games|blowing out candles|
    opening presents|cutting a cake|brushing teeth|taking a photo|taking a selfie|talking on the phone|
    using a laptop|
    typing on a keyboard|shaking hands|holding hands|crossing the street|climbing stairs|lifting weights|
    jumping over a fence|jumping into the water|catching a ball|catching a frisbee|throwing a ball|kicking a ball|
    hitting a ball|riding a horse|riding a bike|riding a wave|walking the dog|pushing a stroller|carrying a bag|
    drinking coffee|drinking beer|eating ice cream|eating pizza|getting married|giving a speech|wearing glasses
""")
VERBS = _words("""
    holding carrying eating drinking watching chasing catching throwing kicking pushing pulling riding
    driving wearing
    cleaning washing painting building repairing opening closing cutting cooking feeding touching hugging buying
    selling reading playing using hiding showing photographing biting licking following leading lifting
""")
GIVEN = _words("""
    selfie iphone smartphone laptop tablet headphones charger drone robot lego playmobil teddy minion emoji meme
    screenshot whiteboard sticky-note receipt barcode invoice spreadsheet website app logo banner sushi pizza burger
    taco burrito ramen pancakes waffles croissant bagel muffin cupcake donut cheesecake tiramisu lasagna smoothie
    latte espresso cappuccino beer wine cocktail bbq scooter e-bike skateboard snowboard suv jeep van caravan
    camper tent
    hoodie jeans sneakers sunglasses backpack handbag suitcase wallet watch ring necklace earrings tattoo beard
    mustache ponytail newborn toddler teenager grandpa grandma mom dad puppy kitten bunny hamster labrador poodle
    husky corgi dachshund chihuahua pug bulldog beagle tabby siamese parrot budgie goldfish koi aquarium cactus
    succulent orchid tulip rose sunflower daisy lavender bonsai palm christmas-tree snowman sandcastle balloon
    gift candle cake fireworks lantern pumpkin guitar piano drums violin microphone speaker vinyl turntable gameboy
    playstation xbox controller keyboard mouse monitor printer router cable battery lightbulb lamp sofa armchair
    bookshelf desk wardrobe bed pillow blanket curtain carpet mirror bathtub shower toilet sink faucet fridge oven
    microwave dishwasher toaster kettle blender frying-pan knife fork spoon chopsticks plate bowl mug glass bottle
    thermos lunchbox eiffel-tower big-ben statue-of-liberty colosseum taj-mahal golden-gate-bridge pyramids
    great-wall mount-fuji times-square notre-dame white-house brandenburg-gate sagrada-familia venice-canal
""")
KEYWORDS = _words("""
    beach sunset snow night city forest mountain sea garden kitchen office street party wedding birthday christmas
    summer winter family friends kids vacation holiday travel food outdoor indoor portrait vintage retro minimal
    black white red blue green old new macro water sky clouds sun rain flowers trees car house
""")
