using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Tests;

/// <summary>What two real threads do at the same moment, many times over.</summary>
public sealed class ThreadTests
{
    private readonly ProductionRuntime _runtime = new(seed: 1);
    private readonly DeviceModel _model;
    private readonly VfioGroups _groups;

    public ThreadTests()
    {
        _model = new DeviceModel(_runtime);
        _groups = new VfioGroups(_model.Tree, Profile.Strict);
    }

    [Fact]
    public void TwoFunctionsOfAGroupComeAndGoAtOnce()
    {
        VfioGroup group = _groups.Create(new RootDevice(_model, "a"), GroupKind.Physical);
        string node = $"/sys/class/vfio/{group.Number}";
        VfioDevice[] devices = new VfioDevice[2];
        Pair pair = new(
            task => Finish(devices[0].OfferAsync(task)),
            task => Finish(devices[1].OfferAsync(task)),
            task => Finish(devices[0].UnregisterAsync(task)),
            task => Finish(devices[1].UnregisterAsync(task)));
        pair.Run(_runtime, rounds: 10_000,
            before: _ => (devices[0], devices[1]) = (Make("a", group), Make("b", group)),
            between: () => Assert.Equal(Errno.Ok, _model.Tree.Find(node, out _)),
            after: () => Assert.Equal(Errno.ENOENT, _model.Tree.Find(node, out _)));
    }

    [Fact]
    public void OneFunctionOfAGroupComesWhileTheOtherGoes()
    {
        VfioGroup group = _groups.Create(new RootDevice(_model, "a"), GroupKind.Physical);
        string node = $"/sys/class/vfio/{group.Number}";
        KernelTask test = _runtime.CreateTask("test");
        VfioDevice[] devices = new VfioDevice[2];
        Pair pair = new(
            task => Finish(devices[0].UnregisterAsync(task)),
            task => Finish(devices[1].OfferAsync(task)),
            task => Finish(devices[1].UnregisterAsync(task)),
            _ => { });
        pair.Run(_runtime, rounds: 10_000,
            before: _ =>
            {
                (devices[0], devices[1]) = (Make("a", group), Make("b", group));
                Finish(devices[0].OfferAsync(test));
            },
            between: () => Assert.Equal(Errno.Ok, _model.Tree.Find(node, out _)),
            after: () => Assert.Equal(Errno.ENOENT, _model.Tree.Find(node, out _)));
    }

    [Fact]
    public void NobodyGetsAFileOfADeviceWhoseUnregistrationHasReturned()
    {
        VfioGroup group = _groups.Create(new RootDevice(_model, "a"));
        Finish(Make("other", group).OfferAsync(_runtime.CreateTask("test")));
        VfioDevice device = null!;
        int isGone = 0;
        int late = 0;
        Pair pair = new(
            task =>
            {
                Finish(device.UnregisterAsync(task));
                Volatile.Write(ref isGone, 1);
            },
            task =>
            {
                if (device.OpenDirectly(task).File is not { } file)
                    return;
                for (int i = 0; i < 30; i++)
                {
                    late += Volatile.Read(ref isGone);
                    Thread.SpinWait(10);
                }
                Finish(file.CloseAsync(task));
            },
            _ => { },
            _ => { });
        pair.Run(_runtime, rounds: 40_000,
            before: test =>
            {
                isGone = 0;
                device = Make("a", group);
                Finish(device.OfferAsync(test));
            },
            between: () => { },
            after: () => Assert.Equal(0, late));
    }

    [Fact]
    public void AnIommufdHasOneAddressSpaceForAllWhoAskFirst()
    {
        IommuFd iommufd = null!;
        Ioas? first = null;
        Ioas? second = null;
        Pair pair = new(_ => first = iommufd.Compatible, _ => second = iommufd.Compatible, _ => { }, _ => { });
        pair.Run(_runtime, rounds: 10_000,
            before: _ => iommufd = new IommuFd(_runtime, "process"),
            between: () => Assert.Same(first, second),
            after: () => Assert.Null(iommufd.Find(first!.Id + 1)));
    }

    private static VfioDevice Make(string name, VfioGroup group) => new(name, new RecordingDriver(), group, new KernelLog());

    private static void Finish(ValueTask operation) => operation.AsTask().GetAwaiter().GetResult();

    private static void Finish(ValueTask<Errno> operation) => Assert.Equal(Errno.Ok, operation.AsTask().GetAwaiter().GetResult());

    /// <summary>Two threads that do something at the same moment, and then something else at the same moment.</summary>
    private sealed class Pair(Action<KernelTask> first, Action<KernelTask> second, Action<KernelTask> thenFirst, Action<KernelTask> thenSecond)
    {
        // One of them begins up to so many turns of a loop later.
        private const int Delays = 128;

        private int _phase;
        private int _ready;
        private int _arrived;
        private Exception? _failure;

        internal void Run(KernelRuntime runtime, int rounds, Action<KernelTask> before, Action between, Action after)
        {
            KernelTask test = runtime.CreateTask("test");
            Thread other = new(() => Follow(runtime.CreateTask("second"), 2 * rounds));
            other.Start();
            try
            {
                for (int round = 0; round < rounds; round++)
                {
                    before(test);
                    Together(test, first);
                    between();
                    Together(test, thenFirst);
                    after();
                }
            }
            finally
            {
                Volatile.Write(ref _phase, int.MaxValue);
                other.Join();
            }
        }

        private void Together(KernelTask task, Action<KernelTask> what)
        {
            int phase = _phase + 1;
            AwaitAtLeast(ref _ready, phase);
            Volatile.Write(ref _phase, phase);
            Linger(phase / 2 % Delays);
            what(task);
            AwaitAtLeast(ref _arrived, phase);
            if (_failure is { } failure)
                throw new InvalidOperationException("the second thread failed", failure);
        }

        private void Follow(KernelTask task, int phases)
        {
            for (int phase = 1; phase <= phases; phase++)
            {
                Volatile.Write(ref _ready, phase);
                AwaitAtLeast(ref _phase, phase);
                if (_phase == int.MaxValue)
                    return;
                Linger(phase / 2 / Delays % Delays);
                try
                {
                    (phase % 2 == 1 ? second : thenSecond)(task);
                }
                catch (Exception failure)
                {
                    _failure = failure;
                }
                Volatile.Write(ref _arrived, phase);
            }
        }

        private void Linger(int turns)
        {
            for (int turn = 0; turn < turns; turn++)
                _ = Volatile.Read(ref _phase);
        }

        // Without sleeping at first, so that both go on at the same moment.
        private static void AwaitAtLeast(ref int counter, int value)
        {
            for (int turn = 0; Volatile.Read(ref counter) < value; turn++)
            {
                if (turn > 2000)
                    Thread.Yield();
            }
        }
    }
}
