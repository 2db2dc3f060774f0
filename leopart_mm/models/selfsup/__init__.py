from leopart_mm.models.selfsup.crop_pair_model import CropPairModel
from leopart_mm.models.selfsup.leopart import Leopart
from leopart_mm.models.selfsup.neco import NeCo
from leopart_mm.models.selfsup.paka import PaKA
from leopart_mm.models.selfsup.student_teacher import StudentTeacher, Teacher

DenseSelfSupervisor = CropPairModel  # its name in models that users derived from it

__all__ = ['CropPairModel', 'DenseSelfSupervisor', 'Leopart', 'NeCo', 'PaKA', 'StudentTeacher', 'Teacher']
