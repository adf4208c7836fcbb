using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Drivers;
using Apvirt.Ap.Hardware;
using Apvirt.Devices.Core;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Tests.Bus;

/// <summary>The bus on real threads.</summary>
public sealed class ThreadsTests
{
    private const int Senders = 8;
    private const int RequestsOfEach = 1000;

    private readonly ProductionRuntime _runtime = new(seed: 1);

    [Fact]
    public async Task Each_of_many_requests_to_one_queue_gets_its_own_reply()
    {
        ApQueue queue = await MakeQueueAsync();
        SpawnedTask[] senders = [.. Enumerable.Range(0, Senders).Select(i => _runtime.Spawn($"sender {i}", task => SendAsync(task, queue, i)))];
        foreach (SpawnedTask sender in senders)
            await sender.JoinAsync(_runtime.CreateTask("test"));
        Assert.Equal(Senders * RequestsOfEach, queue.RequestCount);
        Assert.Equal(Senders * RequestsOfEach, queue.Card.RequestCount);
        Assert.Equal((0, 0), (queue.Requests!.WaitingCount, queue.Requests.PendingCount));
    }

    private static async ValueTask SendAsync(KernelTask task, ApQueue queue, int sender)
    {
        for (int i = 0; i < RequestsOfEach; i++)
        {
            byte[] operand = [(byte)sender, (byte)i, (byte)(i >> 8)];
            HostRequest request = await QueueMachine.SendAsync(task, queue, ClearKeyMessage.Encode((ushort)ClearKeyFunction.Echo, operand));
            Assert.Equal(Errno.Ok, request.Error);
            Assert.Equal(ClearKeyMessage.Encode((ushort)ClearKeyResult.Ok, operand), request.Reply.ToArray());
        }
    }

    private async Task<ApQueue> MakeQueueAsync()
    {
        KernelTask task = _runtime.CreateTask("boot");
        ApMask one = ApMask.Of(1);
        CryptoHardware hardware = new(_runtime, new QciInfo(ApFeatures.Apxa | ApFeatures.Qact, 255, 255, one, one, one));
        hardware.AddAdapter(1, new AdapterType(14, AdapterType.CcaFunctions));
        ApBus bus = new(
            new DeviceModel(_runtime), hardware.InstructionsFor(ApIssuer.Bus), firmware: null, new ApBusOptions { ScansByTimer = false });
        await bus.ScanAsync(task);
        await bus.RegisterDriverAsync(task, new Cex4CardDriver(bus));
        await bus.RegisterDriverAsync(task, new Cex4QueueDriver(bus));
        ApQueue queue = bus.FindQueue(Apqn.Of(1, 1))!;
        while (queue.MachineState != QueueMachineState.Idle)
            await _runtime.DelayAsync(task, TimeSpan.FromMilliseconds(10));
        return queue;
    }
}
