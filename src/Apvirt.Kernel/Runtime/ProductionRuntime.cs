using System.Runtime.ExceptionServices;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Runtime;

/// <summary>The runtime of a host that serves real callers: the .NET thread pool and the system's clock.</summary>
public sealed class ProductionRuntime : KernelRuntime
{
    private readonly Lock _randomGate = new();
    private SplitMix _random;

    /// <summary>Makes a runtime.</summary>
    /// <param name="seed">Seed of <see cref="NextRandom"/>.</param>
    /// <param name="time">Clock and timers; the system's if null.</param>
    public ProductionRuntime(ulong seed, TimeProvider? time = null) : base(hasPoints: false, isSerial: false)
    {
        _random = new SplitMix(seed);
        Time = time ?? TimeProvider.System;
    }

    /// <inheritdoc/>
    public override TimeProvider Time { get; }

    /// <inheritdoc/>
    public override SpawnedTask Spawn(string name, Func<KernelTask, ValueTask> body)
    {
        SpawnedTask spawned = new(CreateTask(name), body);
        MakeRunnable(spawned.Task, spawned);
        return spawned;
    }

    /// <inheritdoc/>
    public override ulong NextRandom()
    {
        lock (_randomGate)
            return _random.Next();
    }

    internal override void OnBug(ExceptionDispatchInfo bug) =>
        ThreadPool.UnsafeQueueUserWorkItem(static failure => failure.Throw(), bug, preferLocal: false);

    internal override void MakeRunnable(KernelTask task, IThreadPoolWorkItem runnable) =>
        ThreadPool.UnsafeQueueUserWorkItem(runnable, preferLocal: false);
}
