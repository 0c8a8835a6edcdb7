from fer.inference.predictor import EmotionClassifier as EmotionClassifier
from fer.inference.predictor import Prediction as Prediction

__version__: str
