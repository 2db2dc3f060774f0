from leopart_mm.models.data_preprocessors.multi_crop_preprocessor import MultiCropDataPreprocessor

__all__ = ['MultiCropDataPreprocessor']
