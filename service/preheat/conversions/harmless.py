"""Harmless fields: those of each library that change no learning rate, so that an import may leave them out.

Every list is of that library's own argument parser or schema; a name that ends in * stands for all that begin so.
What is on no list and may change the LR by its name is refused (`Fields.left`). A name is on a list for a reason:

- the model, its precision and its compilation (`bf16`, `lora_r`, `hidden_size`): an LR is of an update, whatever that
  updates;
- the data and how they are read (`datasets`, `cutoff_len`): they change how many updates there are, which an importer
  takes from fields that it reads, or from the caller, and not from these;
- outputs, logging, evaluation and checkpoints (`save_steps`, `wandb_*`): they look at a run, and do not steer it;
- devices and how they share the work (`fsdp*`, `tensor_parallel_*`): the importers that scale by devices ask for them;
- the optimizer besides its LR (`betas`, `weight_decay`) and the loss (`label_smoothing`): they change what an LR does,
  not which it is. Those that make an LR of their own (schedule-free, Prodigy) are read by the importers and named.

Names that only older versions of a library write stay on its list: argument lists are saved whole, and read later.
"""


class Harmless:
    """Names of fields of a library that change no LR; a name that ends in * stands for all that begin so."""

    def __init__(self, library: str, names: str) -> None:
        self.library = library
        self._names = {name for name in names.split() if not name.endswith("*")}
        self._beginnings = tuple(name[:-1] for name in names.split() if name.endswith("*"))

    def has(self, name: str) -> bool:
        """Whether a field is known to change no LR."""
        return name in self._names or name.startswith(self._beginnings)


_TRAINER = """
    output_dir overwrite_output_dir weight_decay adam_* optim_target_modules average_tokens_across_devices
    max_grad_norm label_smoothing_factor bf16* fp16* half_precision_backend tf32 activation_checkpointing*
    gradient_checkpointing* torch_compile* use_liger_kernel liger_kernel_config use_cache neftune_noise_alpha
    torch_empty_cache_steps logging_* log_* include_* disable_tqdm report_to run_name project trackio_* eval_*
    evaluation_strategy per_device_eval_* per_gpu_eval_* prediction_loss_only batch_eval_metrics save_*
    enable_jit_checkpoint push_to_hub* hub_* load_best_* metric_for_best_model greater_is_better ignore_data_skip
    restore_callback_states_from_checkpoint full_determinism seed data_seed use_cpu no_cuda use_ipex use_mps_device
    parallelism_config dataloader_num_workers dataloader_p* dataloader_multiprocessing_context dataloader_in_order
    remove_unused_columns label_names train_sampling_strategy group_by_length length_column_name ddp_* fsdp* debug
    skip_memory_metrics do_* resume_from_checkpoint local_rank sortish_sampler predict_with_generate generation_*
    jit_mode_eval torchdynamo ray_scope mp_parameters past_index _n_gpu fp16_opt_level tpu_*
    eval_use_gather_object
"""
_DIFFUSION = """
    pretrained_* output_* train_data_dir reg_data_dir dataset_* in_json caption_* resolution enable_bucket
    min_bucket_* max_bucket_* bucket_* shuffle_caption keep_tokens* color_aug flip_aug random_crop
    face_crop_aug_range cache_* vae* network_dim network_alpha network_module network_weights network_args
    network_dropout save_* log* wandb_* sample_* seed mixed_precision full_fp16 full_bf16 fp8_base xformers sdpa
    mem_eff_attn clip_skip noise_offset* multires_noise_* min_snr_gamma max_grad_norm gradient_checkpointing lowram
    max_data_loader_n_workers persistent_data_loader_workers prior_loss_weight v2 v_parameterization
    zero_terminal_snr max_token_length tokenizer_* no_metadata metadata_* training_comment huggingface_*
    weighted_captions adam_* revision variant image_* validation_* num_validation_images max_train_samples
    max_train_images cache_dir center_crop random_flip snr_gamma use_ema non_ema_revision dataloader_num_workers
    push_to_hub hub_* allow_tf32 checkpointing_steps checkpoints_* resume* report_to local_rank tracker_*
    enable_xformers_* rank instance_* class_* with_prior_preservation num_class_images train_text_encoder
    text_encoder_* text_encoder1_* input_perturbation prediction_type foreach_ema guidance_scale weight_decay
    save_every_n_*
"""

HARMLESS = {
    library: Harmless(library, names)
    for library, names in {
        "transformers": _TRAINER
        + """
    best_* is_* log_history stateful_callbacks total_flos trial_* global_step epoch num_input_tokens_seen
    model_name_or_path dataset_name
""",
        "axolotl": _TRAINER
        + """
    base_model* model_type tokenizer* trust_remote_code load_in_* adapter lora_model_dir lora_r lora_alpha
    lora_dropout lora_target* lora_fan_in_fan_out lora_modules_to_save lora_qkv_kernel lora_o_kernel lora_mlp_kernel
    peft* datasets test_datasets dataset_* shuffle_* val_set_size sequence_len sample_packing* eval_sample_packing
    pad_to_sequence_len wandb_* mlflow_* comet_* bfloat16 float16 xformers_attention flash_attention flash_attn_*
    sdp_attention s2_attention attn_implementation evals_per_epoch saves_per_epoch special_tokens tokens
    chat_template* strict train_on_inputs eval_batch_size xla* plugins liger_* cut_cross_entropy rl rl_beta gptq*
    bnb_* device device_map max_memory early_stopping_patience unfrozen_parameters is_* roles_to_train message_*
    field_* type remote_* auto_resume_from_checkpoints gpu_memory_limit low_cpu_mem_usage context_parallel_*
    tensor_parallel_* dp_* excess_length_strategy streaming processing_class processor_type skip_prepare_dataset
    group_by_length curriculum_sampling
""",
        "llama-factory": _TRAINER
        + """
    stage finetuning_type model_name_or_path trust_remote_code adapter_* dataset dataset_dir eval_dataset media_dir
    template cutoff_len overwrite_cache preprocessing_* train_on_prompt mask_history streaming buffer_size
    mix_strategy interleave_probs ignore_pad_token_for_loss val_size packing neat_packing tool_format default_system
    enable_thinking tokenized_path data_shared_file_system cache_dir use_fast_tokenizer resize_vocab
    split_special_tokens add_* new_special_tokens_config model_revision rope_scaling flash_attn shift_attn
    mixture_of_depths use_unsloth* enable_liger_kernel moe_aux_loss_coef disable_gradient_checkpointing
    use_reentrant_gc upcast_* infer_* offload_folder quantization_* double_quantization image_* video_* audio_*
    export_* vllm_* sglang_* kt_* compute_dtype device_map model_max_length lora_alpha lora_dropout lora_rank
    lora_target use_rslora use_dora pissa_* create_new_adapter additional_target freeze_* pref_* dpo_* kto_*
    simpo_gamma ppo_* ref_* reward_* ld_alpha use_galore galore_* use_apollo apollo_* use_badam badam_* use_swanlab
    swanlab_* pure_bf16 use_llama_pro use_adam_mini plot_loss compute_accuracy disable_shuffling
    early_stopping_steps profiler_* enable_torch_profiler profile_* ray_* master_* fp8* print_* max_new_tokens
    temperature top_p top_k oft_* use_oft use_asft_loss asft_alpha use_dft_loss use_eaft_loss
""",
        "kohya": _DIFFUSION,
        "diffusers": _DIFFUSION,
        "timm": """
    data_dir dataset* train_* val_* class_map input_* data data_* num_classes pretrained* initial_checkpoint resume
    no_resume_opt model model_* gp img_size in_chans mean std interpolation crop_* batch_size validation_*
    channels_last fuser grad_* fast_norm torchcompile* torchscript head_init_* opt opt_betas opt_eps opt_kwargs
    momentum weight_decay clip_* no_aug scale ratio hflip vflip color_jitter* grayscale_prob gaussian_blur_prob aa
    aug_* jsd_loss bce_* reprob remode recount resplit mixup* cutmix* smoothing train_interpolation drop* bn_*
    sync_bn dist_bn split_bn model_ema* seed worker_seeding log_* recovery_interval checkpoint_hist workers
    save_images amp* pin_mem no_prefetcher output experiment eval_metric tta local_rank use_multi_epochs_loader
    log_wandb device* no_ddp_bb synchronize_step start_epoch naflex_* kd_* wandb_* rank world_size distributed
    prefetcher layer_decay_no_opt_scale config no_validate validate_interval variable_batch_loss_scale
    distill_loss_weight task_loss_weight
""",
        "deepspeed": """
    fp16 bf16 amp zero_* gradient_clipping steps_per_print wall_clock_breakdown train_* gradient_accumulation_steps
    prescale_gradients sparse_gradients communication_* activation_checkpointing sparse_attention data_types flops_*
    comms_logger tensorboard wandb csv_monitor monitor_config elasticity autotuning compression_training aio
    dump_state checkpoint memory_breakdown dataloader_drop_last seed curriculum_learning data_efficiency pipeline
    betas eps weight_decay momentum torch_adam adam_w_mode bias_correction type freeze_step cuda_aware
    zero_allow_untested_optimizer zero_force_ds_cpu_optimizer
""",
        "keras": "module registered_name build_config compile_config name",
        "torchtitan": """
    job profiling metrics model checkpoint activation_checkpoint compile quantize float8 parallelism comm
    fault_tolerance validation experimental memory_estimation debug tokenizer dataset dataloader name beta1 beta2
    eps weight_decay implementation local_batch_size global_batch_size seq_len max_norm mixed_precision_*
    dataset_path gc_freq gc_debug enable_cpu_offload seed deterministic data_parallel_* tensor_parallel_* fsdp_*
    early_step_in_backward pipeline_parallel_* context_parallel_* num_tokens enable_detect_anomaly
""",
        "megatron": """
    num_layers hidden_size ffn_* num_attention_heads seq_length max_position_embeddings micro_batch_size
    weight_decay weight_decay_incr_style clip_grad adam_* optimizer fp16 bf16 loss_scale* data_path split
    data_cache_path vocab_* merge_file tokenizer_* tensor_model_parallel_size pipeline_* sequence_parallel
    context_parallel_size expert_* moe_* num_experts log_* tensorboard_* wandb_* save load save_interval save_*
    eval_interval eval_iters exit_* distributed_* use_distributed_optimizer use_flash_attn use_mcore_models
    attention_* hidden_dropout init_method_std seed recompute_* activations_* untie_embeddings_and_output_weights
    position_embedding_type rotary_* normalization swiglu disable_bias_linear group_query_attention num_query_groups
    transformer_impl no_* overlap_* num_workers initial_loss_scale min_loss_scale hysteresis ckpt_* dist_ckpt_*
    finetune timing_log_level profile* nproc_per_node nnodes node_rank master_* spec make_vocab_size_divisible_by
    kv_channels data_parallel_random_init
""",
        "detectron2": """
    VERSION MODEL DATASETS INPUT DATALOADER TEST OUTPUT_DIR VIS_PERIOD CUDNN_BENCHMARK SEED FLOAT32_PRECISION GLOBAL
    MOMENTUM NESTEROV WEIGHT_DECAY* CHECKPOINT_PERIOD IMS_PER_BATCH CLIP_GRADIENTS AMP
""",
        "mmengine": """
    model *dataloader train_dataloader val_* test_* default_hooks custom_hooks custom_imports env_cfg vis_backends
    visualizer log_processor log_level load_from resume default_scope work_dir launcher randomness data_preprocessor
    dataset_type data_root backend_args file_client_args train_pipeline tta_* img_scale optimizer_config
    dynamic_intervals type clip_grad paramwise_cfg accumulative_counts loss_scale dtype val_interval val_begin
    momentum weight_decay betas eps nesterov verbose _scope_ class_name dataset_meta num_classes classes metainfo
    checkpoint_config evaluation log_config workflow data dist_params runner
""",
        "nanotron": """
    checkpoints data_stages general lighteval logging model parallelism profiler tokenizer s3_upload metrics_logging
    accumulate_grad_in_fp32 clip_grad optimizer_factory weight_decay weight_decay_exclude_named_params zero_stage
    batch_accumulation_per_replica limit_test_batches limit_val_batches micro_batch_size sequence_length
    val_check_interval adam_* torch_adam_is_fused doremi data _defaults
""",
        "nemo": """
    betas weight_decay eps capturable bucket_cap_mb overlap_* contiguous_* exp_manager name devices num_nodes
    accelerator precision logger enable_checkpointing use_distributed_sampler log_every_n_steps val_check_interval
    limit_* gradient_clip_val benchmark enable_model_summary strategy data seed restore_from_path hydra
    micro_batch_size global_batch_size tensor_* pipeline_* megatron_amp_O2 gradient_as_bucket_view sequence_parallel
    sync_batch_comm save_nemo_on_validation_end answer_only_loss hidden_dropout attention_dropout ffn_dropout peft
""",
        "fairseq": """
    common dataset task hydra debug_param_names update_freq adam_* optimizer
    criterion checkpoint model tokenizer bpe distributed_training generation eval_lm
    interactive bmuf ema _name weight_decay clip_norm max_tokens arch share_* dropout
    attention_dropout seed fp16 log_* save_dir save_interval* keep_* no_* label_smoothing criterion batch_size
    validate_* sentence_avg tpu use_old_adam fp16_adam_stats use_bmuf skip_remainder_batch max_tokens_valid
    ddp_backend num_workers patience
""",
        "torch": """
    seed_everything model data ckpt_path _recursive_ _convert_ _partial_ defaults hydra
    weight_decay betas eps momentum nesterov dampening amsgrad foreach fused maximize capturable params
    accelerator strategy devices num_nodes precision logger callbacks fast_dev_run limit_* overfit_batches
    val_check_interval check_val_every_n_epoch num_sanity_val_steps log_every_n_steps enable_*
    accumulate_grad_batches gradient_clip_* deterministic benchmark inference_mode use_distributed_sampler profiler
    detect_anomaly barebones plugins sync_batchnorm reload_dataloaders_every_n_epochs default_root_dir max_time
    min_epochs min_steps
""",
    }.items()
}
"""The fields of each library's sources that are known to change no LR."""
