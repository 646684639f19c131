from mmimg2vec.engine.hooks.backbone_export import BackboneExportHook
from mmimg2vec.engine.hooks.clip_export import CLIPExportHook
from mmimg2vec.engine.hooks.collapse import CollapseHook
from mmimg2vec.engine.hooks.compilation import CompileHook
from mmimg2vec.engine.hooks.data_check import DataCheckHook
from mmimg2vec.engine.hooks.dense_quality import DenseQualityHook
from mmimg2vec.engine.hooks.feature_pictures import FeaturePictureHook
from mmimg2vec.engine.hooks.finite_guard import FiniteGuardHook
from mmimg2vec.engine.hooks.garbage_collection import GarbageCollectionHook
from mmimg2vec.engine.hooks.init_coverage import InitCoverageHook
from mmimg2vec.engine.hooks.knn import KNNHook
from mmimg2vec.engine.hooks.log_history import LogHistoryHook
from mmimg2vec.engine.hooks.logged_steps import LoggedStepsHook
from mmimg2vec.engine.hooks.preemption import PreemptionHook
from mmimg2vec.engine.hooks.resume_guard import ResumeGuardHook
from mmimg2vec.engine.hooks.run_folder import RunFolderHook
from mmimg2vec.engine.hooks.safe_checkpoint import SafeCheckpointHook
from mmimg2vec.engine.hooks.seeded_step import SeededStepHook
from mmimg2vec.engine.hooks.teacher_guard import TeacherGuardHook
from mmimg2vec.engine.hooks.throughput import GradNormHook, ThroughputHook
from mmimg2vec.engine.hooks.trained_weights import TrainedWeightsHook
from mmimg2vec.engine.hooks.unreadable_images import UnreadableImagesHook

__all__ = [
    'BackboneExportHook',
    'CLIPExportHook',
    'CollapseHook',
    'CompileHook',
    'DataCheckHook',
    'DenseQualityHook',
    'FeaturePictureHook',
    'FiniteGuardHook',
    'GarbageCollectionHook',
    'GradNormHook',
    'InitCoverageHook',
    'KNNHook',
    'LogHistoryHook',
    'LoggedStepsHook',
    'PreemptionHook',
    'ResumeGuardHook',
    'RunFolderHook',
    'SafeCheckpointHook',
    'SeededStepHook',
    'TeacherGuardHook',
    'ThroughputHook',
    'TrainedWeightsHook',
    'UnreadableImagesHook',
]
