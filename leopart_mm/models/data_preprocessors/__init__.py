from leopart_mm.models.data_preprocessors.multi_crop_preprocessor import MultiCropDataPreprocessor
from leopart_mm.models.data_preprocessors.student_augmentation import StudentAugmentation

__all__ = ['MultiCropDataPreprocessor', 'StudentAugmentation']
